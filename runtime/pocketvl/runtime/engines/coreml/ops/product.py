"""Products of matrices (iOS15 linear, conv; iOS18 transformers)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.ops.reduction import softmax_in_place

Array = NDArray[Any]


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (..., in) times weight (out, in) transposed, plus bias (out)."""
    # One product of two matrices: numpy would make one of each leading index.
    result = (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], len(weight))
    if bias is not None:
        result += bias
    return result


def matmul(x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False) -> Array:
    """numpy's rules of broadcasting; transposing exchanges the last two axes of what has two."""
    if bool(transpose_x) and x.ndim > 1:
        x = x.swapaxes(-1, -2)
    if bool(transpose_y) and y.ndim > 1:
        y = y.swapaxes(-1, -2)
    return np.asarray(np.matmul(x, y))


def conv(
    x: Array,
    weight: Array,
    pad_type: str = "valid",
    bias: Array | None = None,
    strides: Array | None = None,
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:
    """Pointwise only: x (n, in, *spatial), weight (out, in, 1, ...), bias (out)."""
    pointwise = all(size == 1 for size in weight.shape[2:])
    strided = strides is not None and bool(np.any(strides != 1))
    padded = pad_type == "custom" and pad is not None and bool(np.any(pad != 0))
    if not pointwise or strided or padded or int(groups) != 1:
        raise ValueError("only kernels of size 1 without stride, padding or groups are supported")
    result = (weight.reshape(weight.shape[:2]) @ x.reshape(*x.shape[:2], -1)).reshape(
        len(x), len(weight), *x.shape[2:]
    )
    if bias is not None:
        result += bias.reshape(-1, *[1] * (x.ndim - 2))
    return result


def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None = None
) -> Array:
    """softmax(Q K^T / sqrt(E) + mask) V; query (B, ..., L, E), key (B, ..., S, E), value (B, ..., S, EV).

    A mask of bool hides keys where it is False.
    """
    scores = np.matmul(query, key.swapaxes(-1, -2))
    scores *= np.float32(1 / math.sqrt(query.shape[-1]))
    if attn_mask is not None:
        if attn_mask.dtype == np.bool_:
            attn_mask = np.where(attn_mask, np.float32(0), np.float32(-np.inf))
        scores += attn_mask
    softmax_in_place(scores)
    return np.asarray(np.matmul(scores, value))
