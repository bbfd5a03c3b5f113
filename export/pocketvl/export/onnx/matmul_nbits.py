"""A layer's integers as com.microsoft.MatMulNBits stores them.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.quantized import QuantizedLinear

_LARGEST_BLOCK = 256  # of onnxruntime's kernels
_SMALLEST_BLOCK = 16
_PADDED_BLOCK = 32
_ROWS = 4096  # packed at a time


@dataclass(frozen=True)
class Packed:
    """weight[o, i] = (q[o, i] - 2^(bits - 1)) * scales[o, i // block].

    data: uint8 (out, blocks, block * bits / 8) with the values q, of 4 bits the lower nibble first; where
    the inputs do not divide by `block` the last one is filled up with zeros, which q = 2^(bits - 1) stands
    for. scales: float32 (out, blocks).
    """

    data: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    block: int


def block_size(in_features: int, group_size: int) -> int:
    """Inputs of one block: the largest power of two that divides the group.

    Where the group is a row whose length no power of two divides that kernels take, blocks of 32, the last
    one filled up. Raises ValueError for a smaller group of such a length.
    """
    power = min(group_size & -group_size, _LARGEST_BLOCK)
    if power >= _SMALLEST_BLOCK:
        return power
    if group_size != in_features:
        raise ValueError(f"groups of {group_size} inputs are not multiples of {_SMALLEST_BLOCK}")
    return _PADDED_BLOCK


def pack(quantized: QuantizedLinear) -> Packed:
    """The very integers and scales, each scale repeated for every block of its group."""
    rows, columns, bits = quantized.out_features, quantized.in_features, quantized.bits
    block = block_size(columns, quantized.group_size)
    blocks = -(-columns // block)
    data = np.empty((rows, blocks, block * bits // 8), np.uint8)
    for first in range(0, rows, _ROWS):
        part = slice(first, first + _ROWS)
        data[part] = _packed_rows(quantized.integers[part], bits, blocks * block).reshape(data[part].shape)
    repeats = blocks // quantized.scales.shape[1]
    return Packed(data, np.repeat(quantized.scales, repeats, axis=1), bits, block)


def unpack(data: NDArray[np.uint8], bits: int, in_features: int) -> NDArray[np.int8]:
    """int8 (out, in_features) from Packed.data, without what fills up the last block."""
    flat = data.reshape(len(data), -1)
    values = np.stack([flat & 0xF, flat >> 4], axis=-1).reshape(len(flat), -1) if bits == 4 else flat
    signed: NDArray[np.int8] = (values[:, :in_features] - np.uint8(1 << (bits - 1))).view(np.int8)
    return signed


def _packed_rows(integers: NDArray[np.int8], bits: int, width: int) -> NDArray[np.uint8]:
    middle = 1 << (bits - 1)
    values = np.full((len(integers), width), middle, np.uint8)
    values[:, : integers.shape[1]] = integers.view(np.uint8) + np.uint8(middle)  # modulo 256
    if bits == 8:
        return values
    return values[:, 0::2] | (values[:, 1::2] << np.uint8(4))
