"""The file of a saved conversation: whole or refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from pocketvl.runtime.chat.saved.tensor_file import read_tensors, write_tensors
from pocketvl.runtime.errors import ConversationError

MOST = 1 << 20
TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([[1.5], [-2.0]], np.float16),
    "none": np.empty((3, 0), np.int64),
    "b": np.array([-1, 1 << 40], np.int64),
}
TEXTS = {"one": "ein Wörtchen", "two": "{}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "saved"
    write_tensors(path, TENSORS, TEXTS)
    return path


def with_header(data: bytes, header: Any) -> bytes:
    """The file with another header, and the hash to it."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = int.from_bytes(data[:8], "little")
    whole = len(encoded).to_bytes(8, "little") + encoded + data[8 + size : -32]
    return whole + hashlib.sha256(whole).digest()


def header_of(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def test_what_is_written_is_read(path: Path) -> None:
    texts, tensors = read_tensors(path, MOST, ConversationError)
    assert texts == TEXTS
    assert list(tensors) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(tensors[name], tensor)
    assert [each.name for each in path.parent.iterdir()] == ["saved"]


def test_the_layout_is_a_standard(path: Path) -> None:
    loaded = load_file(path)
    np.testing.assert_array_equal(loaded["a"], TENSORS["a"])
    data = path.read_bytes()
    assert loaded["sha256"].tobytes() == hashlib.sha256(data[:-32]).digest() == data[-32:]
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_a_failed_write_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {"a": np.zeros(9, np.float32)}, {})
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["saved"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused(path: Path, data: st.DataObject) -> None:
    whole = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "more"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if kind == "flip":
        whole[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del whole[place:]
    else:
        whole[place:place] = data.draw(st.binary(min_size=1, max_size=40))
    damaged = path.with_name("damaged")
    damaged.write_bytes(whole)
    with pytest.raises(ConversationError, match="damaged or no saved conversation"):
        read_tensors(damaged, MOST, ConversationError)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 24]}}, "other bytes"),
        ({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]}}, "other bytes"),
        ({"a": {"dtype": "F32", "shape": [2, -3], "data_offsets": [0, 24]}}, "not whole numbers"),
        ({"a": {"dtype": "F32", "shape": [2, True], "data_offsets": [0, 24]}}, "not whole numbers"),
        ({"a": {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 24]}}, "not whole numbers"),
        ({"a": {"dtype": ["F32"], "shape": [2, 3], "data_offsets": [0, 24]}}, "unknown dtype"),
        ({"a": {"dtype": "I4", "shape": [2, 3], "data_offsets": [0, 24]}}, "unknown dtype"),
        ({"a": []}, "not described by"),
        ({"__metadata__": {"one": 1}}, "not texts"),
        ({"z": {"dtype": "U8", "shape": [0], "data_offsets": [84, 84]}}, "other bytes"),
    ],
)
def test_a_header_that_lies_is_refused(path: Path, change: dict[str, Any], sentence: str) -> None:
    data = path.read_bytes()
    path.write_bytes(with_header(data, header_of(data) | change))
    with pytest.raises(ConversationError, match=sentence):
        read_tensors(path, MOST, ConversationError)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"[]", "no object"),
        (b"[" * 100_000, "recursion|Expecting"),
        (b'{"a": 1, "a": 2}', "there twice"),
        (b"\xff", "utf-8"),
        (b"{}", "does not end with its hash"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "digits|not described"),
    ],
)
def test_another_header_is_refused(path: Path, header: bytes, sentence: str) -> None:
    path.write_bytes(with_header(path.read_bytes(), header))
    with pytest.raises(ConversationError, match=f"(?i){sentence}"):
        read_tensors(path, MOST, ConversationError)


def test_a_header_that_ends_outside_is_refused(path: Path) -> None:
    data = (1 << 63).to_bytes(8, "little") + path.read_bytes()[8:-32]
    path.write_bytes(data + hashlib.sha256(data).digest())
    with pytest.raises(ConversationError, match="outside of the file"):
        read_tensors(path, MOST, ConversationError)


def test_what_is_larger_than_any_is_not_read(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(64 << 20)
    with pytest.raises(ConversationError, match="more than the limit"):
        read_tensors(path, MOST, ConversationError)
