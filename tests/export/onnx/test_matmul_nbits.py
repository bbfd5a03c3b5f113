"""How integers and scales stand in a data file, written out element by element here."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.export.onnx.data_file import DataFile, read_entry
from pocketvl.export.onnx.operators import block_size, pack, unpack
from pocketvl.quant.quantized import QuantizedLinear


def quantized(rows: int, groups: int, group_size: int, bits: int, seed: int = 0) -> QuantizedLinear:
    generator = np.random.default_rng(seed)
    low = -(1 << (bits - 1))
    integers = generator.integers(low, -low, (rows, groups * group_size), np.int8)
    scales = generator.uniform(0.01, 0.1, (rows, groups)).astype(np.float32)
    return QuantizedLinear(integers, scales, bits, group_size)


@given(
    rows=st.integers(1, 5),
    groups=st.integers(1, 4),
    group_size=st.sampled_from([32, 64, 96, 128, 160, 512]),
    seed=st.integers(0, 99),
)
def test_int4_is_what_a_loop_over_elements_reads(rows: int, groups: int, group_size: int, seed: int) -> None:
    layer = quantized(rows, groups, group_size, 4, seed)
    packed = pack(layer)
    assert packed.data.shape == (rows, layer.in_features // packed.block, packed.block // 2)
    wanted = layer.dequantize()
    for row, column in np.random.default_rng(seed).integers((0, 0), wanted.shape, (20, 2)):
        block, place = divmod(column, packed.block)
        byte = packed.data[row, block, place // 2]
        value = (byte >> 4 if place % 2 else byte & 15) - np.float32(8)
        assert value * packed.scales[row, block] == wanted[row, column]
    assert np.array_equal(unpack(packed.data, 4, layer.in_features), layer.integers)


@given(rows=st.integers(1, 5), columns=st.sampled_from([32, 48, 96, 512, 1176, 70]), seed=st.integers(0, 99))
def test_int8_has_its_rows_scale_in_every_block(rows: int, columns: int, seed: int) -> None:
    layer = quantized(rows, 1, columns, 8, seed)
    packed = pack(layer)
    flat = packed.data.reshape(rows, -1).astype(np.float32) - 128
    assert np.array_equal(flat[:, :columns] * layer.scales, layer.dequantize())
    assert not flat[:, columns:].any()
    assert packed.scales.shape == (rows, -(-columns // packed.block))
    assert (packed.scales == layer.scales).all()
    assert np.array_equal(unpack(packed.data, 8, columns), layer.integers)


@pytest.mark.parametrize(
    ("columns", "group", "block"),
    [(1536, 1536, 256), (8960, 8960, 256), (96, 96, 32), (1176, 1176, 32), (1536, 32, 32), (1536, 96, 32)],
)
def test_blocks_are_powers_of_two_that_divide_groups(columns: int, group: int, block: int) -> None:
    assert block_size(columns, group) == block


def test_groups_that_no_block_divides_are_refused() -> None:
    with pytest.raises(ValueError, match="not multiples"):
        block_size(48, 24)


def test_a_data_file_aligns_large_tensors_and_joins_parts(tmp_path: Path) -> None:
    small = np.arange(6, dtype=np.float32)
    first, second = np.arange(3000, dtype=np.uint8).reshape(30, 100), np.ones((20, 100), np.uint8)
    with DataFile(tmp_path / "graph.onnx_data") as data:
        entries = [data.write(small), data.write(first, second), data.write(small)]
    assert [entry.offset % 64 for entry in entries] == [0, 0, 0]
    assert entries[1].offset % 4096 == 0
    assert (entries[1].shape, entries[1].length, entries[1].dtype) == ((50, 100), 5000, "uint8")
    assert np.array_equal(read_entry(tmp_path, entries[0]), small)
    assert np.array_equal(read_entry(tmp_path, entries[1]), np.concatenate([first, second]))
    assert np.array_equal(read_entry(tmp_path, entries[2]), small)


def test_parts_of_one_tensor_have_one_width(tmp_path: Path) -> None:
    with DataFile(tmp_path / "graph.onnx_data") as data, pytest.raises(ValueError, match="first axis"):
        data.write(np.ones((2, 3)), np.ones((2, 4)))


def test_a_tensor_has_the_rows_that_were_said(tmp_path: Path) -> None:
    part = np.ones((2, 3))
    with DataFile(tmp_path / "graph.onnx_data") as data, pytest.raises(ValueError, match="4 rows, not 5"):
        data.write_parts((5, 3), part.dtype, iter([part, part]))
