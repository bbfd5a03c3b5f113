"""Rows of each storage, written byte by byte here, and files that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.errors import BundleError, EngineError

ROWS, COLUMNS = 11, 8
RANDOM = np.random.default_rng(0)


def table(storage: str, **changes: Any) -> EmbeddingTable:
    values: dict[str, Any] = {
        "file": "text_decoder.pte",
        "rows": ROWS,
        "columns": COLUMNS,
        "storage": storage,
        "data_offset": 0,
        "scales_offset": None,
        "scales_dtype": None,
        "group_size": None,
    }
    return EmbeddingTable(**(values | changes))


def bfloat16(values: Any) -> tuple[bytes, Any]:
    """Bytes, and the values that they stand for."""
    halves = (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2")
    return halves.tobytes(), (halves.astype("<u4") << 16).view("<f4")


@pytest.mark.parametrize(("storage", "dtype"), [("float32", "<f4"), ("float16", "<f2")])
@pytest.mark.parametrize("offset", [0, 13])  # a table need not be aligned
def test_float_rows(tmp_path: Path, storage: str, dtype: str, offset: int) -> None:
    values = RANDOM.normal(size=(ROWS, COLUMNS)).astype(dtype)
    path = tmp_path / "table.bin"
    path.write_bytes(b"\xaa" * offset + values.tobytes())
    rows = EmbeddingMap(path, table(storage, data_offset=offset)).gather([3, 0, 3, 10])
    assert rows.dtype == np.float32
    assert np.array_equal(rows, values[[3, 0, 3, 10]].astype(np.float32))


@pytest.mark.parametrize("group", [COLUMNS, 4])
@pytest.mark.parametrize("scales_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scales_first", [False, True])
def test_int8_rows(tmp_path: Path, group: int, scales_dtype: str, scales_first: bool) -> None:
    values = RANDOM.integers(-128, 128, (ROWS, COLUMNS), np.int8)
    scales = RANDOM.uniform(0.01, 0.1, (ROWS, COLUMNS // group)).astype("<f4")
    stored, scales = bfloat16(scales) if scales_dtype == "bfloat16" else (scales.tobytes(), scales)
    path = tmp_path / "text_decoder.pte"
    if scales_first:
        path.write_bytes(b"head" + stored + b"gap" + values.tobytes())
        offsets = {"scales_offset": 4, "data_offset": 7 + len(stored)}
    else:
        path.write_bytes(b"head" + values.tobytes() + b"gap" + stored + b"tail")
        offsets = {"data_offset": 4, "scales_offset": 7 + values.size}
    spec = table("int8", scales_dtype=scales_dtype, group_size=group, **offsets)
    rows = EmbeddingMap(path, spec).gather(np.array([10, 1]))
    expected = values.astype(np.float32) * np.repeat(scales, group, axis=1)
    assert np.array_equal(rows, expected[[10, 1]])


def test_offset_int8_rows(tmp_path: Path) -> None:
    values = RANDOM.integers(-128, 128, (ROWS, COLUMNS))
    values[2, :2] = -128, 127
    scales = RANDOM.uniform(0.01, 0.1, (ROWS, 2)).astype("<f4")
    path = tmp_path / "decoder.onnx_data"
    path.write_bytes((values + 128).astype(np.uint8).tobytes() + scales.tobytes())
    spec = table("offset_int8", scales_offset=values.size, scales_dtype="float32", group_size=4)
    rows = EmbeddingMap(path, spec).gather([2, 10])
    expected = values.astype(np.float32) * np.repeat(scales, 4, axis=1)
    assert np.array_equal(rows, expected[[2, 10]])


def test_int4_rows_low_nibble_first(tmp_path: Path) -> None:
    values = RANDOM.integers(-8, 8, (ROWS, COLUMNS))
    values[2] = [-8, 7, 0, 1, -1, 2, -2, 5]
    nibbles = values + 8
    data = (nibbles[:, 0::2] | nibbles[:, 1::2] << 4).astype(np.uint8)
    assert data[2, 0] == 0xF0
    stored, scales = bfloat16(RANDOM.uniform(0.01, 0.1, (ROWS, 2)))
    path = tmp_path / "text_decoder.pte"
    path.write_bytes(data.tobytes() + stored)
    spec = table("int4", scales_offset=data.size, scales_dtype="bfloat16", group_size=4)
    rows = EmbeddingMap(path, spec).gather(range(ROWS))
    assert np.array_equal(rows, values.astype(np.float32) * np.repeat(scales, 4, axis=1))


def test_rows_are_copies(tmp_path: Path) -> None:
    path = tmp_path / "table.bin"
    path.write_bytes(np.ones((ROWS, COLUMNS), "<f4").tobytes())
    embedding = EmbeddingMap(path, table("float32"))
    embedding.gather([0])[:] = 5
    assert np.all(embedding.gather([0]) == 1)
    assert embedding.gather([]).shape == (0, COLUMNS)


@pytest.mark.parametrize("index", [-1, ROWS, 10**9])
def test_ids_outside_the_table_are_named(tmp_path: Path, index: int) -> None:
    path = tmp_path / "table.bin"
    path.write_bytes(bytes(ROWS * COLUMNS * 4))
    with pytest.raises(EngineError, match=f"Token id {index} is outside the embedding table of 11 rows"):
        EmbeddingMap(path, table("float32")).gather([0, index])


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.bin"
    with pytest.raises(BundleError, match=r"table\.bin cannot be read \(No such file"):
        EmbeddingMap(path, table("float32"))
    for size in (0, ROWS * COLUMNS * 4 - 1):
        path.write_bytes(bytes(size))
        with pytest.raises(BundleError, match=f"has {size} bytes, but its embedding table ends at 352"):
            EmbeddingMap(path, table("float32"))
    path.write_bytes(bytes(1000))
    odd = table("int4", columns=7, scales_offset=100, scales_dtype="float32", group_size=7)
    with pytest.raises(BundleError, match="7 columns, but two columns share a byte"):
        EmbeddingMap(path, odd)
