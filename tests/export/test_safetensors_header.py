"""A safetensors header is read exactly, and anything else is refused."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvl.export.checkpoint.header import read_header
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import (
    write_checkpoint,
)

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path)
    return tmp_path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_other_length_is_refused(folder: Path, data: st.DataObject) -> None:
    whole = random_file()
    length = data.draw(st.integers(0, 2 * len(whole)).filter(lambda length: length != len(whole)))
    path = folder / "cut.safetensors"
    path.write_bytes((whole + bytes(len(whole)))[:length])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
        read_header(path)


def random_file() -> bytes:
    """A small safetensors file as bytes."""
    return file_of({"a": entry([2, 2], 0, 8), "b": entry([3], 8, 14)}, 14)


def entry(shape: object, begin: object, end: object, dtype: object = "BF16") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file_of(header: object, data: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack("<Q", 2) + b"[]",
        file_of({"a": 3}, 0),
        file_of({"a": []}, 0),
        file_of({"a": {"dtype": "BF16"}}, 0),
        file_of({"a": entry([2], 0, 4, dtype=3)}, 4),
        file_of({"a": entry("2", 0, 4)}, 4),
        file_of({"a": entry([2.0], 0, 4)}, 4),
        file_of({"a": entry([10**4000], 0, 4)}, 4),
        file_of({"a": entry([10**300] * 100, 0, 4)}, 4),
        file_of({"a": entry([2**62] * 10, 0, 4)}, 4),
        file_of({"a": entry([2], 0, 10**4000)}, 4),
        file_of({"a": entry([2], 10**4000, 10**4000 + 4)}, 4),
        file_of({"a": entry([-2], 0, 4)}, 4),
        file_of({"a": entry([2], 0, "4")}, 4),
        file_of({"a": entry([2], 4, 0)}, 4),
        file_of({"a": entry([3], 0, 4)}, 4),  # shape and bytes disagree
        file_of({"a": entry([2], 0, 4), "b": entry([2], 2, 6)}, 6),  # overlap
        file_of({"a": entry([2], 0, 4), "b": entry([2], 6, 10)}, 10),  # gap
        file_of({"a": entry([2], 2, 6)}, 6),  # gap at the start
        struct.pack("<Q", 118) + b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},'
        b'"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}' .ljust(63) + bytes(4),
    ],
)  # fmt: skip
def test_files_that_are_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_header(path)


def test_a_sound_header(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(random_file())
    stored = read_header(path)
    assert stored["b"].shape == (3,)
    assert stored["b"].offset + stored["b"].size == path.stat().st_size
