"""Weights from their compressed forms (iOS18 compression, iOS16 constexpr_ops)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def constexpr_blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """scale * (data - offset); each scale and offset covers a block of data.shape / scale.shape elements."""
    if data.ndim != scale.ndim or any(d % s for d, s in zip(data.shape, scale.shape, strict=True)):
        raise ValueError(f"scales {list(scale.shape)} do not divide data {list(data.shape)}")
    result = data.astype(np.float32)
    pairs = zip(scale.shape, data.shape, strict=True)
    blocks = result.reshape([part for count, size in pairs for part in (count, size // count)])
    within = tuple(range(1, 2 * scale.ndim, 2))
    if offset is not None:
        blocks -= np.expand_dims(offset.astype(np.float32), within)
    blocks *= np.expand_dims(scale, within)
    return result


def constexpr_affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: Array) -> Array:
    """scale * (data - zero_point); a vector of either runs along `axis`."""
    shape = [1] * quantized_data.ndim
    shape[int(axis)] = -1
    centred = quantized_data.astype(np.float32) - zero_point.astype(np.float32).reshape(shape)
    return np.asarray(centred * scale.reshape(shape))


def constexpr_lut_to_dense(indices: Array, lut: Array, vector_axis: Array | None = None) -> Array:
    """lut[block of the index, index]: lut (blocks of each axis of indices, ..., palette, 1).

    Vectors (a last size above 1) and the packed form of iOS 16 are not supported.
    """
    if lut.ndim != indices.ndim + 2 or lut.shape[-1] != 1:
        raise ValueError(f"a table {list(lut.shape)} for indices {list(indices.shape)} is not supported")
    pairs = tuple(zip(indices.shape, lut.shape, strict=False))
    if any(size % count for size, count in pairs):
        raise ValueError(f"the table {list(lut.shape)} does not divide indices {list(indices.shape)}")
    block = np.ix_(*(np.arange(size) // (size // count) for size, count in pairs))
    result: Array = lut[..., 0][(*block, indices)]
    return result


def constexpr_cast(source_val: Array, output_dtype: str) -> Array:
    if output_dtype != "fp32":
        raise ValueError(f"the type {output_dtype!r} is unknown")
    return source_val.astype(np.float32)
