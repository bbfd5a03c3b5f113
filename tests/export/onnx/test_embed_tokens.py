"""transformers.js's copy of the table of embeddings is made a few rows at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pocketvl.export.onnx.data_file import DataFile, read_entry
from pocketvl.export.onnx.text import copy_table
from pocketvl.runtime.bundle.manifest import EmbeddingTable

ROWS, COLUMNS = 50_000, 256


@pytest.mark.parametrize(
    ("storage", "group"), [("int8", 256), ("offset_int8", 32), ("int4", 32), ("int4", 64), ("float16", None)]
)
def test_a_table_is_never_in_memory(tmp_path: Path, storage: str, group: int | None) -> None:
    bits = {"int4": 4, "float16": 16}.get(storage, 8)
    integers = ROWS * COLUMNS * bits // 8
    scales = 0 if group is None else ROWS * COLUMNS // group * 4
    table = tmp_path / "table.bin"
    table.write_bytes(np.random.default_rng(0).bytes(integers + scales))
    offset, dtype = (None, None) if group is None else (integers, "float32")
    holds = EmbeddingTable(table.name, ROWS, COLUMNS, storage, 0, offset, dtype, group)
    tracemalloc.start()
    try:
        with DataFile(tmp_path / "copy.onnx_data") as data:
            entries, block = copy_table(table, holds, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000 < integers  # 4096 rows are 1 MB, and while they are made perhaps twice
    assert block == group
    assert set(entries) == ({"weight"} if group is None else {"weight", "scales"})
    content = table.read_bytes()
    copied = {name: read_entry(tmp_path, entry).tobytes() for name, entry in entries.items()}
    flipped = np.frombuffer(content[:integers], np.uint8) ^ np.uint8(0x80 if storage == "int8" else 0)
    assert copied["weight"] == flipped.tobytes()
    assert copied.get("scales", b"") == content[integers:]
