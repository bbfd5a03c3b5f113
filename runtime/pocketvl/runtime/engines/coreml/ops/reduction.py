"""Sums over axes and what is made of them (iOS15 reduction, normalization, activation.softmax)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def reduce_mean(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
    return _reduce(np.mean, x, axes, keep_dims)


def reduce_sum(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
    return _reduce(np.sum, x, axes, keep_dims)


def reduce_max(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
    return _reduce(np.max, x, axes, keep_dims)


def reduce_min(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
    return _reduce(np.min, x, axes, keep_dims)


def softmax(x: Array, axis: Array | int = -1) -> Array:
    """exp(x) / sum(exp(x)), after taking the largest x away, which changes nothing but overflow."""
    result = np.array(x)
    softmax_in_place(result, int(axis))
    return result


def softmax_in_place(x: Array, axis: int = -1) -> None:
    """Attention's scores are by far the largest arrays of an image: 1 GB for 4096 patches and 16 heads."""
    x -= x.max(axis=axis, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=axis, keepdims=True)


def layer_norm(
    x: Array,
    axes: Array | None = None,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """gamma * (x - E[x]) / sqrt(Var[x] + epsilon) + beta; gamma and beta have the shape of x's `axes`."""
    over = _axes(x, axes)
    centred = x - x.mean(axis=over, keepdims=True)
    variance = np.square(centred).mean(axis=over, keepdims=True)
    result = centred / np.sqrt(variance + np.float32(epsilon))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    if gamma is not None:
        result = result * gamma.reshape(shape)
    if beta is not None:
        result = result + beta.reshape(shape)
    return np.asarray(result)


def _reduce(how: Callable[..., Any], x: Array, axes: Array | None, keep_dims: Array | bool) -> Array:
    return np.asarray(how(x, axis=_axes(x, axes), keepdims=bool(keep_dims)))


def _axes(x: Array, axes: Array | None) -> tuple[int, ...]:
    """Ascending axes from 0 on; all of them for None."""
    if axes is None:
        return tuple(range(x.ndim))
    return tuple(sorted(int(axis) % x.ndim for axis in axes.reshape(-1)))
