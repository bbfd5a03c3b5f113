"""Saved conversations that are damaged or forged are refused, and nothing of them is taken."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.saved.storage import read_chat
from pocketvl.runtime.chat.saved.tensor_file import read_tensors, write_tensors
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ConversationError, PocketVLError


def changed(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Written again with a sound hash."""
    texts, tensors = read_tensors(path, 1 << 30, ConversationError)
    value, own = json.loads(texts["conversation"]), {name: one.copy() for name, one in tensors.items()}
    change(value, own)
    write_tensors(path, own, {"conversation": json.dumps(value)})


def put(*keys: str | int, to: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(value: Any, _tensors: dict[str, Any]) -> None:
        for key in keys[:-1]:
            value = value[key]
        value[keys[-1]] = to

    return change


def put_tensor(name: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(_value: Any, tensors: dict[str, Any]) -> None:
        tensors[name] = make(tensors.get(name))

    return change


def set_first(value: int) -> Callable[[Any], Any]:
    def change(tensor: Any) -> Any:
        tensor.reshape(-1)[0] = value
        return tensor

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("version", to=2),
        put("version", to="1"),
        put("more", to=1),
        put("messages", 0, "role", to="tool"),
        put("messages", 1, "parts", to=[]),
        put("messages", 1, "parts", 0, "type", to="text"),
        put("messages", 1, "parts", 0, "type", to="audio"),
        put("messages", 3, "parts", 4, "numbers", to=[0, 0, 5000, 1]),
        put("turns", to=[]),
        put("turns", 0, "slots", to=3),
        put("turns", 1, "slots", to=-3),
        put("turns", 1, "slots", to=8),
        put("turns", 1, "messages", to=2),
        put("turns", 2, "messages", to=1 << 60),
        put("turns", 3, "slots", to=1 << 60),
        put("turns", 1, "answer_start", to=1 << 60),
        put("turns", 3, "image_sizes", to=0),
        put("image_sizes", to=[[84, 84]]),
        put("image_sizes", 0, to=[0, 84]),
        put("images", 0, "grid", to=[1, 6, 7]),
        put("images", 0, "grid", to=[1, 1 << 40, 1 << 40]),
        put("images", 0, "key", to=""),
        put("images", 1, "key", to="a" * 1000),
        put("media", 0, to=7),
        put("media", 0, to=-1),
        put("media", to=[0, 1]),
        put("cached_slots", to=0),
        put("cached_slots", to=5),
        put("cached_slots", to=1 << 40),
        put("options", "max_pixels", to=0),
        put_tensor("token_ids", set_first(-1)),
        put_tensor("token_ids", set_first(1 << 40)),
        put_tensor("token_ids", lambda ids: ids[:-1]),
        put_tensor("token_ids", lambda ids: ids.astype(np.float32)),
        put_tensor("positions", set_first(7)),
        put_tensor("positions", lambda positions: positions[:2]),
        put_tensor("media", set_first(0)),
        put_tensor("media", set_first(-2)),
        put_tensor("embeddings.0", lambda rows: rows[:-1]),
        put_tensor("embeddings.0", lambda rows: rows * np.float32(np.nan)),
        put_tensor("embeddings.9", lambda _rows: np.zeros((1, 1), np.float32)),
        put_tensor("cache.more", lambda _rows: np.zeros((1, 1), np.float32)),
        put_tensor("cache.past_key_values.0.key", lambda keys: keys[:, :, :-1]),
        put_tensor("cache.past_key_values.0.key", lambda keys: keys.astype(np.float16)),
    ],
)
def test_what_does_not_fit_together_is_refused(
    onnx: Bundle, saved: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Even with a sound hash: nothing of it reaches the engine."""
    changed(saved, change)
    engine = open_engine(onnx, threads=1)
    with pytest.raises(PocketVLError) as refused:
        ChatSession.restore(saved, onnx, engine)
    assert isinstance(refused.value, ConversationError) or "pixel limits" in str(refused.value)
    assert len(engine.text.cache) == 0
    engine.close()


def test_random_damage_is_refused(onnx: Bundle, saved: Path) -> None:
    """Bytes of the header and of the slots, the hash made sound again."""
    whole, random = saved.read_bytes(), np.random.default_rng(0)
    header = int.from_bytes(whole[:8], "little")
    accepted = 0
    for _ in range(150):
        damaged = bytearray(whole[:-32])
        for place in random.integers(0, 8 + header + 2000, random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        saved.write_bytes(damaged + hashlib.sha256(damaged).digest())
        try:
            read_chat(saved, onnx.manifest)
            accepted += 1  # other letters of a message or a key: nothing that could be known
        except ConversationError:
            pass
    assert accepted < 50
