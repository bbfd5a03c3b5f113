"""GPTQ's packed layers, as AutoGPTQ and GPTQModel write them.

A layer of N outputs and K inputs, b bits, groups of g inputs (ceil(K / g) of them), 32 / b codes a word:

    qweight  int32 (K * b / 32, N)          consecutive inputs in one word, lowest bits first
    qzeros   int32 (groups, N * b / 32)     consecutive outputs in one word, lowest bits first
    scales   float (groups, N)
    g_idx    int32 (K,)                     the group of each input

weight = (code - zero) * scale. The first version of the format ("gptq") stores zero - 1, modulo 2^b;
"gptq_v2" stores zero itself. AutoRound leaves g_idx out. From the packing loop of AutoGPTQ's
qlinear_cuda.py and the format notes of GPTQModel's README.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.packed.affine import Grid, make_grid
from pocketvl.runtime.errors import CheckpointError

GPTQ_BITS = (4, 8)


def gptq_shapes(
    out_features: int, in_features: int, bits: int, group_size: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of the four tensors. Raises ValueError for sizes that do not fill whole words."""
    codes = 32 // bits
    if in_features % codes or out_features % codes:
        raise ValueError(f"{out_features} outputs, {in_features} inputs do not fill words of {codes} codes")
    groups = -(-in_features // group_size)
    return {
        "qweight": (in_features // codes, out_features),
        "qzeros": (groups, out_features // codes),
        "scales": (groups, out_features),
        "g_idx": (in_features,),
    }


def gptq_codes(qweight: NDArray[np.int32], bits: int) -> NDArray[np.uint8]:
    """qweight (in * bits / 32, out) to codes (out, in)."""
    words, out_features = qweight.shape
    stored = _bytes(qweight)  # (words, out, 4), lowest byte first
    if bits == 8:
        return np.ascontiguousarray(stored.transpose(1, 0, 2)).reshape(out_features, words * 4)
    codes = np.empty((out_features, words, 4, 2), np.uint8)
    codes[..., 0] = (stored & 15).transpose(1, 0, 2)
    codes[..., 1] = (stored >> 4).transpose(1, 0, 2)
    return codes.reshape(out_features, words * 8)


def gptq_grid(
    qzeros: NDArray[np.int32],
    scales: NDArray[np.float32],
    bits: int,
    group_size: int,
    zero_offset: int,
    in_features: int,
) -> Grid:
    """Zeros and scales of a layer; zero_offset: 1 for the first version of the format, 0 for the second."""
    # Packed along the last axis here: as if it were a qweight of one word's outputs.
    stored = gptq_codes(np.ascontiguousarray(qzeros.T), bits)
    zeros = (stored + np.uint8(zero_offset)) & np.uint8((1 << bits) - 1)
    return make_grid(zeros.T, scales.T, bits, group_size, in_features)


def check_order(g_idx: NDArray[np.int32], group_size: int, layer: str) -> None:
    """Raise CheckpointError unless the inputs stand in their groups in order."""
    if not np.array_equal(g_idx, np.arange(len(g_idx)) // group_size):
        raise CheckpointError(
            f"{layer}.g_idx spreads the groups over the inputs (activation order), which would need a gather"
            " before every layer on the phone; quantize the model again with desc_act=False."
        )


def _bytes(words: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(..., n) to (..., n, 4), lowest byte first whatever the machine's order."""
    little = words if sys.byteorder == "little" else words.byteswap()
    return np.ascontiguousarray(little).view(np.uint8).reshape(*words.shape, 4)
