"""The weight of a layer as a package stores it: the recipe's integers with fp16 scales, or fp16."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvl.export import weights
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Bits


@dataclass(frozen=True)
class StoredWeight:
    """weight[o, i] = data[o, i] * scales[o, i // group], or data itself where there are no scales.

    layer: the name that recipes know it by. data: int8 (out, in), in -8..7 for 4 bits; float16 (out, in)
    for 16 and 32. scales: float16 (out, groups).
    """

    layer: str
    bits: Bits
    data: NDArray[np.int8] | NDArray[np.float16]
    scales: NDArray[np.float16] | None


def stored_quantized(layer: str, bits: Bits, quantized: QuantizedLinear) -> StoredWeight:
    """The same integers; their scales in float16.

    Core ML's weights have the precision of their scales, and its Neural Engine computes in fp16 alone.
    Scales of 4 bits are bfloat16's, which float16 holds exactly from 2^-17 on; others are rounded by at most
    2^-11 of their size from 2^-14 on, and by 2^-25 below, where a weight of 127 steps is off by 4e-6.
    Raises ExportError for scales that float16 does not hold.
    """
    scales = as_float16(quantized.scales, f"the scales of {layer}")
    # A scale that fell to 0 means weights below 4e-6, which are then 0.
    return StoredWeight(layer, bits, quantized.integers, scales)


def stored_float(layer: str, bits: Bits, weight: torch.Tensor) -> StoredWeight:
    """A weight (out, in) that stays float, as fp16 even of 32 bits. Raises ExportError beyond its range."""
    return StoredWeight(layer, bits, as_float16(weight.numpy(), f"the weight of {layer}"), None)


def as_float16(values: NDArray[np.float32], what: str) -> NDArray[np.float16]:
    """Rounded to float16. Raises ExportError where a value is beyond its 65504."""
    return weights.as_float16(
        values, what, "Core ML computes in nothing wider: export this model for executorch"
    )
