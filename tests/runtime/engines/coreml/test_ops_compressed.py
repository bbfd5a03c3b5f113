"""Compressed weights, element by element as the op reference writes it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.engines.coreml.ops.compressed import (
    constexpr_affine_dequantize,
    constexpr_blockwise_shift_scale,
    constexpr_lut_to_dense,
)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=3), st.booleans())
def test_blockwise_shift_scale(axes: list[tuple[int, int]], with_offset: bool) -> None:
    rng = np.random.default_rng(0)
    counts, shape = tuple(count for count, _ in axes), tuple(count * size for count, size in axes)
    data = rng.integers(-8, 8, shape).astype(np.int8)
    scale = rng.uniform(0.1, 2, counts).astype(np.float32)
    offset = rng.integers(-8, 8, counts).astype(np.int8) if with_offset else None
    before = data.copy()
    actual = constexpr_blockwise_shift_scale(data, scale, offset)
    for place in itertools.product(*map(range, shape)):
        block = tuple(index // size for index, (_, size) in zip(place, axes, strict=True))
        shift = 0 if offset is None else int(offset[block])
        assert actual[place] == pytest.approx(float(scale[block]) * (int(data[place]) - shift), rel=1e-6)
    np.testing.assert_array_equal(data, before)


def test_blockwise_refuses_blocks_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        constexpr_blockwise_shift_scale(np.zeros((4, 6), np.int8), np.ones((4, 4), np.float32))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("vector", [False, True])
def test_affine_dequantize(axis: int, vector: bool) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (3, 4)).astype(np.uint8)
    size = data.shape[axis]
    scale = rng.uniform(0.1, 2, size).astype(np.float32) if vector else np.float32(0.5)
    zero = rng.integers(0, 256, size).astype(np.uint8) if vector else np.uint8(7)
    actual = constexpr_affine_dequantize(data, np.asarray(zero), np.asarray(scale), np.int32(axis))
    for row, column in itertools.product(range(3), range(4)):
        index = (row, column)[axis]
        s, z = (float(scale[index]), int(zero[index])) if vector else (0.5, 7)
        assert actual[row, column] == pytest.approx(s * (int(data[row, column]) - z), rel=1e-6)


def test_table_of_the_op_references_example() -> None:
    indices = np.array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], np.uint8).reshape(6, 2)
    lut = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float32).reshape(2, 1, 4, 1)
    expected = [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    assert constexpr_lut_to_dense(indices, lut).tolist() == expected


def test_tables_of_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        constexpr_lut_to_dense(np.zeros((2, 2), np.uint8), np.zeros((1, 1, 4, 2), np.float32))
