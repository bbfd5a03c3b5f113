"""AWQ's packed layers in AutoAWQ's "gemm" layout, 4 bits.

A layer of N outputs and K inputs in groups of g:

    qweight  int32 (K, N / 8)       eight outputs in one word; its nibbles, lowest first, are the outputs
                                    0, 2, 4, 6, 1, 3, 5, 7 of the eight
    qzeros   int32 (K / g, N / 8)   likewise, zero points as they are
    scales   float (K / g, N)

weight = (code - zero) * scale. From the packing loop of AutoAWQ's modules/linear/gemm.py.
"""

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.packed.affine import Grid, make_grid

AWQ_BITS = 4
_CODES = 8
_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def awq_shapes(out_features: int, in_features: int, group_size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the three tensors. Raises ValueError for sizes that do not fill whole words or groups."""
    if out_features % _CODES or in_features % group_size:
        raise ValueError(f"{out_features} outputs, {in_features} inputs do not fill words and groups")
    groups = in_features // group_size
    return {
        "qweight": (in_features, out_features // _CODES),
        "qzeros": (groups, out_features // _CODES),
        "scales": (groups, out_features),
    }


def awq_codes(qweight: NDArray[np.int32]) -> NDArray[np.uint8]:
    """qweight (in, out / 8) to codes (out, in)."""
    in_features, words = qweight.shape
    codes = np.empty((words, _CODES, in_features), np.uint8)
    for nibble, output in enumerate(_ORDER):
        codes[:, output, :] = ((qweight >> (4 * nibble)) & 15).T
    return codes.reshape(words * _CODES, in_features)


def awq_grid(
    qzeros: NDArray[np.int32], scales: NDArray[np.float32], group_size: int, in_features: int
) -> Grid:
    """Zeros and scales of a layer."""
    return make_grid(awq_codes(qzeros), scales.T, AWQ_BITS, group_size, in_features)
