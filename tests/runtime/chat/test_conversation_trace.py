"""A session follows the golden trace of a conversation: slots, positions and what is fed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.bundle.manifest import FileRecord
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.media.image import content_key
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.support.manifests import TABLE, fill_folder, small_manifest
from tests.support.sampling import Scripted

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "conversation_trace.json").read_text(encoding="utf-8"))
CHECKPOINT = FOLDER.parents[1] / GOLDEN["checkpoint"]
WIDTH, ROWS = TABLE.columns, 1024


class Records:
    """Both engines, which compute nothing and note where they are asked to write."""

    def __init__(self) -> None:
        self.cache = KVCache()
        self.fed: list[tuple[int, int]] = []  # first slot, slots

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        return np.zeros((len(patches) // 4, WIDTH), np.float32)

    def release(self) -> None: ...

    def decode(self, embeddings: Float32, cos: Float32, sin: Float32, cache_position: int) -> Float32:
        self.cache.truncate(cache_position)
        self.fed.append((cache_position, len(embeddings)))
        return np.zeros((len(embeddings), WIDTH), np.float32)

    def logits(self, hidden: Float32) -> Float32:
        return np.zeros((len(hidden), ROWS), np.float32)

    def close(self) -> None: ...


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    fill_folder(tmp_path)
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(CHECKPOINT / name, tmp_path / name)
    table = replace(TABLE, rows=ROWS, scales_offset=TABLE.data_offset + ROWS * WIDTH)
    (tmp_path / table.file).write_bytes(bytes(table.end))
    files = [FileRecord(path.name, path.stat().st_size, "0" * 64) for path in tmp_path.iterdir()]
    manifest = small_manifest(tuple(files))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")

    def id_of(name: str) -> int:
        index = tokenizer.token_id(f"<|{name}|>")
        assert index is not None
        return index

    special = SpecialTokens(
        *map(id_of, ("image_pad", "video_pad", "vision_start", "vision_end")),
        eos=(id_of("im_end"), id_of("endoftext")),
        im_end=id_of("im_end"),
    )
    text = replace(manifest.geometry.text, vocab_size=ROWS)
    geometry = replace(manifest.geometry, text=text)
    return Bundle(
        tmp_path,
        replace(manifest, geometry=geometry, special_tokens=special, token_embedding=table, max_context=200),
    )


def painted(name: str) -> Image.Image:
    size = GOLDEN["images"][name]
    return Image.new("RGB", (size["width"], size["height"]), {"cat": "red", "dog": "blue"}.get(name, "green"))


def given(message: dict[str, Any]) -> dict[str, Any]:
    if isinstance(message["content"], str):
        return message
    parts = [
        part | {"image": painted(part["image"])} if part["type"] == "image" else part
        for part in message["content"]
    ]
    return {"role": message["role"], "content": parts}


def test_golden_trace(bundle: Bundle) -> None:
    records = Records()
    session = ChatSession(bundle, Engine(records, records))
    start, after = session.conversation, []
    names = {content_key(painted(name)): name for name in GOLDEN["images"]}
    for turn in GOLDEN["turns"]:
        before: Conversation = start if turn["after"] is None else after[turn["after"]]
        session.conversation = before
        records.fed.clear()
        messages = [given(message) for message in turn["messages"]]
        content = messages if messages[0]["role"] == "system" else messages[0]["content"]
        count = len(turn["generated"])
        answer = session.ask(content, max_tokens=count, sampler=Scripted(turn["generated"]))
        feed = session.conversation.feed
        prompt = turn["answer_start"]
        assert list(answer.prompt_token_ids) == turn["prompt_ids"], turn["name"]
        runs = [name for name, slots in turn["images_of_slots"] for _ in range(slots)]
        assert [names.get(key or "") for key in feed.media_keys[:prompt]] == runs
        assert feed.positions[:, :prompt].tolist() == turn["positions"]
        assert (answer.statistics.reused_tokens, answer.statistics.prefill_tokens) == (
            turn["kept"],
            turn["fed"],
        )
        assert records.fed[0][0] == turn["kept"]
        assert sum(slots for _, slots in records.fed) == turn["fed"] + count - 1
        assert session.conversation.answer_start == prompt
        assert (len(feed), session.next_position) == (turn["slots"], turn["next_position"])
        assert len(records.cache) == turn["cached_slots"]
        after.append(session.conversation)


def test_an_answer_made_anew_follows_the_trace(bundle: Bundle) -> None:
    """As regenerate(), and as a whole list of messages."""
    edited, again = (GOLDEN["turns"][number] for number in (3, 4))
    records = Records()
    session = ChatSession(bundle, Engine(records, records))
    for turn in (*GOLDEN["turns"][:2], edited):
        (message,) = map(given, turn["messages"])
        sampler = Scripted(turn["generated"])
        session.ask(message["content"], max_tokens=len(turn["generated"]), sampler=sampler)
    answer = session.regenerate(max_tokens=9, sampler=Scripted(again["generated"]))
    assert list(answer.prompt_token_ids) == again["prompt_ids"]
    assert answer.statistics.prefill_tokens == again["fed"] == 1
    assert (len(session.conversation.feed), session.next_position) == (again["slots"], again["next_position"])
    tokenizer = Tokenizer(bundle.path("tokenizer.json"))
    whole = []
    for turn in GOLDEN["turns"][:2]:
        text = tokenizer.decode(turn["generated"])
        whole += [*map(given, turn["messages"]), {"role": "assistant", "content": text}]
    whole += map(given, again["messages"])
    answer = session.ask(whole, max_tokens=9, sampler=Scripted(again["generated"]))
    assert list(answer.prompt_token_ids) == again["prompt_ids"]
    assert answer.statistics.prefill_tokens == 1
