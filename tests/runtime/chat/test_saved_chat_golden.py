"""A conversation that each language saved is read, see tests/golden/saved_chats.py."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.bundle.manifest import FileRecord, Manifest
from pocketvl.runtime.bundle.strict import to_json
from pocketvl.runtime.chat.saved.messages import stored
from pocketvl.runtime.chat.saved.storage import read_chat, write_chat
from tests.support.manifests import small_manifest

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden/saved_chat.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("language", ["python", "kotlin"])
def test_a_saved_chat_of_each_language(tmp_path: Path, language: str) -> None:
    manifest = _manifest(GOLDEN["manifest"])
    expected = GOLDEN["expected"]
    assert manifest.content_sha256 == expected["content_sha256"]
    path, again = tmp_path / "saved", tmp_path / "again"
    path.write_bytes(base64.b64decode(GOLDEN[language]))
    chat = read_chat(path, manifest)
    last = chat.conversation
    assert (list(last.feed.token_ids), chat.cached_slots) == (expected["token_ids"], expected["cached_slots"])
    assert last.feed.positions.tolist() == expected["positions"]
    assert last.feed.next_position == expected["next_position"]
    assert [to_json(stored(message)) for message in last.messages] == [
        message | {"parts": [_as_stored(part) for part in message["parts"]]}
        for message in expected["messages"]
    ]
    write_chat(again, manifest, chat)
    assert again.read_bytes() == base64.b64decode(GOLDEN["python"])


def _as_stored(part: Any) -> Any:
    """Arguments of a call are JSON in a text."""
    if part["call"] is None or part["call"]["arguments"] is None:
        return part
    return part | {"call": part["call"] | {"arguments": json.dumps(part["call"]["arguments"])}}


def _manifest(data: Any) -> Manifest:
    files = tuple(FileRecord(name, 1, digest) for name, digest in data["files"].items())
    manifest = small_manifest(files)
    ids, eos = data["special_tokens"], data["special_tokens"]["im_end"]
    geometry = replace(
        manifest.geometry,
        vision=replace(manifest.geometry.vision, output_size=data["hidden_size"]),
        text=replace(manifest.geometry.text, hidden_size=data["hidden_size"], vocab_size=data["vocab_size"]),
    )
    return replace(
        manifest,
        target=data["target"],
        geometry=geometry,
        max_context=data["max_context"],
        special_tokens=SpecialTokens(**ids, eos=(eos,)),
    )
