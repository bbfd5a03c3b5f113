"""Ops that move elements: slices against loops over their definition, others against torch or by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.engines.coreml.ops.elements import (
    concat,
    expand_dims,
    fill,
    gather,
    range_1d,
    reshape,
    slice_by_index,
    slice_by_size,
    slice_update,
    split,
    squeeze,
    stack,
    tile,
    transpose,
)

X = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int32)


def flags(*items: int) -> np.ndarray:
    return np.array(items, bool)


@st.composite
def slices(draw: st.DrawFn) -> tuple[tuple[int, ...], list[list[int]]]:
    """A shape and begin, end, stride, begin_mask, end_mask, squeeze_mask, with begin and end inside it."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    columns = []
    for size in shape:
        begin = draw(st.integers(-size, size - 1))
        end = draw(st.integers(-size, size))
        flag = st.integers(0, 1)
        columns.append([begin, end, draw(st.integers(1, 3)), draw(flag), draw(flag), draw(flag)])
    return shape, [list(row) for row in zip(*columns, strict=True)]


def by_loops(size: int, begin: int, end: int, stride: int, begin_mask: int, end_mask: int) -> list[int]:
    """Positions that the op reference's x[begin:end:stride] visits."""
    position = 0 if begin_mask else begin % size
    stop = size if end_mask else end + size if end < 0 else end
    visited = []
    while position < stop:
        visited.append(position)
        position += stride
    return visited


@given(slices())
def test_slice_by_index_visits_the_positions_of_its_definition(
    case: tuple[tuple[int, ...], list[list[int]]],
) -> None:
    shape, rows = case
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    begin, end, stride, begin_mask, end_mask, squeeze_mask = rows
    expected = x
    for axis in reversed(range(x.ndim)):  # from behind, so that squeezing moves no axis to come
        if squeeze_mask[axis]:
            expected = expected.take(0 if begin_mask[axis] else begin[axis] % shape[axis], axis)
        else:
            places = by_loops(
                shape[axis], begin[axis], end[axis], stride[axis], begin_mask[axis], end_mask[axis]
            )
            expected = expected.take(np.array(places, int), axis)
    arguments = (ints(*begin), ints(*end), ints(*stride), *(flags(*row) for row in rows[3:]))
    np.testing.assert_array_equal(slice_by_index(x, *arguments), expected)
    update = np.asarray(-expected - 1)
    updated = slice_update(x, update, *arguments)
    np.testing.assert_array_equal(slice_by_index(updated, *arguments), update)
    assert (updated != x).sum() == update.size  # and nothing else


def test_slice_by_index_backwards() -> None:
    result = slice_by_index(X, ints(0, 2, -1), ints(2, -4, 0), ints(1, -2, -1), None, flags(0, 1, 1))
    np.testing.assert_array_equal(result, torch.from_numpy(X).flip(2).numpy()[:, [2, 0]])


def test_slice_update_copies_and_keeps_the_element_type() -> None:
    cache = np.zeros((2, 4), np.float16)
    result = slice_update(cache, np.full((2, 1), 1 / 3, np.float32), ints(0, 1), ints(2, 2))
    assert not cache.any()
    assert result.dtype == np.float16
    assert result.tolist() == [[0, np.float16(1 / 3), 0, 0]] * 2


@pytest.mark.parametrize("begin", [3, 4, 5])
def test_slice_update_beyond_the_end_is_refused(begin: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        slice_update(np.zeros((1, 4)), np.ones((1, 2)), ints(0, begin), ints(1, begin + 2))


def test_a_slice_of_another_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="3 items"):
        slice_by_index(X, ints(0, 0), ints(1, 1))


def test_slice_by_size() -> None:
    np.testing.assert_array_equal(slice_by_size(X, ints(1, -2, 0), ints(-1, 2, 3)), X[1:, 1:3, :3])
    with pytest.raises(ValueError, match="outside"):
        slice_by_size(X, ints(0, 2, 0), ints(2, 2, 4))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 4), (6, 4)),
        ((-1, 4), (6, 4)),
        ((0, 0, 0), (2, 3, 4)),
        ((0, -1), (3, 8)),  # 0 counts from the right
        ((1, 0, -1, 0), (1, 2, 3, 4)),
        ((0, 2, 3, 4), (1, 2, 3, 4)),  # beyond the rank
        ((), ()),
    ],
)
def test_reshape(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = X if expected else X[:1, :1, :1]
    result = reshape(x, ints(*shape))
    assert result.shape == expected
    np.testing.assert_array_equal(result.reshape(-1), x.reshape(-1))


def test_reshape_follows_the_op_references_example() -> None:
    assert reshape(np.zeros((2, 50)), ints(1, 0, -1, 0)).shape == (1, 1, 2, 50)


def test_transpose_takes_negative_axes() -> None:
    np.testing.assert_array_equal(transpose(X, ints(-1, 0, 1)), torch.from_numpy(X).permute(2, 0, 1).numpy())


def test_expand_dims_and_squeeze() -> None:
    assert expand_dims(X, ints(0, -1)).shape == (1, 2, 3, 4, 1)
    assert expand_dims(np.int32(3), ints(0)).shape == (1,)
    y = np.zeros((1, 2, 1, 3))
    assert squeeze(y).shape == (2, 3)
    assert squeeze(y, ints(-2)).shape == (1, 2, 3)
    assert squeeze(y, ints(0, 1)).shape == (2, 1, 3)  # an axis of 2 stays


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_stack_and_split(axis: int) -> None:
    parts = (X, X + 100, X - 100)
    tensors = [torch.from_numpy(part) for part in parts]
    whole = concat(parts, np.int32(axis))
    np.testing.assert_array_equal(whole, torch.cat(tensors, axis).numpy())
    np.testing.assert_array_equal(stack(parts, np.int32(axis)), torch.stack(tensors, axis).numpy())
    for part, again in zip(parts, split(whole, np.int32(axis), num_splits=np.int32(3)), strict=True):
        np.testing.assert_array_equal(again, part)
    sizes = ints(1, whole.shape[axis] - 1)
    expected = torch.split(torch.from_numpy(whole), sizes.tolist(), axis)
    for part, again in zip(expected, split(whole, np.int32(axis), split_sizes=sizes), strict=True):
        np.testing.assert_array_equal(again, part.numpy())


def test_concat_interleaves_as_in_the_op_reference() -> None:
    a, b = np.array([[1, 2], [3, 4], [5, 6]]), np.array([[7, 8], [9, 10], [11, 12]])
    expected = [[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]]
    assert concat((a, b), np.int32(0), np.bool_(True)).tolist() == expected


def test_split_refuses_sizes_that_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="add up to 4"):
        split(X, np.int32(2), split_sizes=ints(1, 2))
    with pytest.raises(ValueError, match="neither"):
        split(X, np.int32(2))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [np.int32(1), ints(1, 0, 1), ints(0, 1, 1, 0).reshape(2, 2)])
def test_gather(axis: int, indices: np.ndarray) -> None:
    flat = torch.from_numpy(np.asarray(indices).reshape(-1).astype(np.int64))
    shape = (*X.shape[:axis], *np.shape(indices), *X.shape[axis % 3 + 1 :])
    expected = torch.from_numpy(X).index_select(axis, flat).numpy().reshape(shape)
    np.testing.assert_array_equal(gather(X, np.asarray(indices), np.int32(axis)), expected)


@pytest.mark.parametrize("index", [-1, 3])
def test_gather_refuses_indices_outside(index: int) -> None:
    with pytest.raises(ValueError, match=rf"{index} is outside 0\.\.2"):
        gather(X, ints(0, index), np.int32(1))


def test_gather_refuses_batches() -> None:
    with pytest.raises(ValueError, match="batch_dims 1"):
        gather(X, ints(0), batch_dims=np.int32(1))


def test_tile_fill_and_range() -> None:
    expected = torch.from_numpy(X).repeat(2, 1, 3).numpy()
    np.testing.assert_array_equal(tile(X, ints(2, 1, 3)), expected)
    assert fill(ints(2, 3), np.float32(7)).tolist() == [[7, 7, 7]] * 2
    assert range_1d(np.int32(1), np.int32(8), np.int32(3)).tolist() == [1, 4, 7]
