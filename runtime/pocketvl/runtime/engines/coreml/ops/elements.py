"""Ops that move elements without computing (tensor_transformation, tensor_operation, scatter_gather)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Index = tuple[slice | int, ...]

# These take float16 as it is stored: a KV cache is not turned into float32 whole to write one slot.
MOVING = frozenset(
    (
        "concat",
        "expand_dims",
        "gather",
        "identity",
        "reshape",
        "slice_by_index",
        "slice_by_size",
        "slice_update",
        "split",
        "squeeze",
        "stack",
        "tile",
        "transpose",
    )
)


def identity(x: Array) -> Array:
    return x


def reshape(x: Array, shape: Array) -> Array:
    """0 keeps x's size at that place counted from the right, or is 1 beyond its rank; -1 is what is left."""
    sizes = [int(size) for size in shape]
    for place in range(1, len(sizes) + 1):
        if sizes[-place] == 0:
            sizes[-place] = x.shape[-place] if place <= x.ndim else 1
    return x.reshape(sizes)


def transpose(x: Array, perm: Array) -> Array:
    return np.transpose(x, perm.tolist())


def expand_dims(x: Array, axes: Array) -> Array:
    """New axes of size 1; negative ones count from the end of the result."""
    return np.expand_dims(x, tuple(axes.reshape(-1).tolist()))


def squeeze(x: Array, axes: Array | None = None) -> Array:
    """Axes whose size is not 1 stay, as in PyTorch."""
    over = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes.reshape(-1)]
    return np.squeeze(x, tuple(axis for axis in over if x.shape[axis] == 1))


def tile(x: Array, reps: Array) -> Array:
    return np.tile(x, tuple(reps.tolist()))


def concat(values: tuple[Array, ...], axis: Array, interleave: Array | bool = False) -> Array:
    """interleave: slice 0 of each value, then slice 1 of each."""
    if not bool(interleave):
        return np.concatenate(values, int(axis))
    place = int(axis) % values[0].ndim
    shape = list(values[0].shape)
    shape[place] *= len(values)
    return np.stack(values, place + 1).reshape(shape)


def stack(values: tuple[Array, ...], axis: Array) -> Array:
    return np.stack(values, int(axis))


def split(
    x: Array, axis: Array, num_splits: Array | None = None, split_sizes: Array | None = None
) -> tuple[Array, ...]:
    """By sizes, or into equal parts."""
    if split_sizes is not None:
        if int(split_sizes.sum()) != x.shape[int(axis)]:
            raise ValueError(f"sizes {split_sizes.tolist()} do not add up to {x.shape[int(axis)]}")
        return tuple(np.split(x, np.cumsum(split_sizes)[:-1].tolist(), int(axis)))
    if num_splits is None:
        raise ValueError("neither num_splits nor split_sizes is given")
    return tuple(np.split(x, int(num_splits), int(axis)))


def gather(
    x: Array,
    indices: Array,
    axis: Array | int = 0,
    batch_dims: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:
    """Slices of x along `axis`. Indices outside 0..size-1, undefined since iOS 17, are refused."""
    if int(batch_dims):
        raise ValueError(f"batch_dims {int(batch_dims)} is not supported")
    size = x.shape[int(axis)]
    outside = indices[(indices < 0) | (indices >= size)]
    if outside.size:
        raise ValueError(f"the index {outside.reshape(-1)[0]} is outside 0..{size - 1}")
    return np.take(x, indices, int(axis))


def slice_by_size(x: Array, begin: Array, size: Array) -> Array:
    """size -1: all from begin on."""
    starts = [int(start) % max(length, 1) for start, length in zip(begin, x.shape, strict=True)]
    ends = [
        length if count == -1 else start + int(count)
        for start, count, length in zip(starts, size, x.shape, strict=True)
    ]
    if any(end > length for end, length in zip(ends, x.shape, strict=True)):
        raise ValueError(f"{starts}..{ends} lies outside {list(x.shape)}")
    return x[tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))]


def slice_by_index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """x[begin:end:stride] on each axis, begin or end left out where masked; squeeze_mask: x[begin]."""
    return np.asarray(x[_index(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)])


def slice_update(
    x: Array,
    update: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """x with `update` in place of slice_by_index's result, in x's element type."""
    index = _index(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    if x[index].shape != update.shape:
        raise ValueError(f"the update {list(update.shape)} does not fit the slice {list(x[index].shape)}")
    result = x.copy()
    result[index] = update
    return result


def _index(x: Array, begin: Array, end: Array, *options: Array | None) -> Index:
    if not len(begin) == len(end) == x.ndim:
        raise ValueError(f"begin {begin.tolist()} and end {end.tolist()} need {x.ndim} items")
    stride, begin_mask, end_mask, squeeze_mask = (
        [default] * x.ndim if option is None else option.tolist()
        for option, default in zip(options, (1, False, False, False), strict=True)
    )
    index: list[slice | int] = []
    for axis in range(x.ndim):
        start = None if begin_mask[axis] else int(begin[axis])
        if squeeze_mask[axis]:
            index.append(start or 0)
        else:
            index.append(slice(start, None if end_mask[axis] else int(end[axis]), stride[axis]))
    return tuple(index)


def fill(shape: Array, value: Array | float = 0.0) -> Array:
    return np.full(tuple(shape.tolist()), np.asarray(value))


def range_1d(start: Array, end: Array, step: Array) -> Array:
    return np.arange(start, end, step)
