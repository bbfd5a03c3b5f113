"""A float weight becomes a QuantizedLinear, a block of rows at a time."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from pocketvl.quant.hqq import hqq_scales
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import WEIGHT_METHODS, Precision
from pocketvl.quant.rtn import nearest_integers, rtn_scales
from pocketvl.runtime.errors import CheckpointError, RecipeError

# A block and its temporaries stay in the cache, and torch runs operators below 32768 elements on the
# calling thread. That is wanted: its own threads spin, which on a machine that does something else as well
# made this forty times slower; here the blocks are what runs in parallel.
_BLOCK_ELEMENTS = 32767


def quantize_linear(weight: torch.Tensor, precision: Precision, method: str, layer: str) -> QuantizedLinear:
    """Quantize the weight (out, in) of a linear layer, of any float dtype.

    method: "rtn" or "hqq"; both decide over the weight alone. Temporary memory is a few megabytes,
    whatever the size. Raises CheckpointError for NaN or infinite weights, RecipeError for bits that the
    layer cannot take.
    """
    if weight.ndim != 2:
        raise ValueError(f"the weight of {layer} must be (out, in), not {tuple(weight.shape)}")
    if precision.is_float:
        raise ValueError(f"{layer} is to stay in float: there is nothing to quantize")
    if method not in WEIGHT_METHODS:
        raise RecipeError(
            f"{method!r} cannot decide over the weight of {layer} alone; {', '.join(WEIGHT_METHODS)} can."
        )
    out_features, in_features = weight.shape
    precision.check(layer, in_features)
    group_size = precision.group_size or in_features
    integers = np.empty((out_features, in_features), np.int8)
    scales = np.empty((out_features, in_features // group_size), np.float32)
    choose = hqq_scales if method == "hqq" else rtn_scales
    rows = max(1, _BLOCK_ELEMENTS // in_features)

    def quantize_block(first: int) -> None:
        block = weight[first : first + rows].float()
        # NaN and infinities survive a search for extremes, in a fifth of the time that looking at each takes.
        if not torch.isfinite(torch.stack(torch.aminmax(block))).all():
            raise CheckpointError(
                f"the weight of {layer} holds NaN or infinite values, so it cannot be quantized;"
                " check that the checkpoint was saved and downloaded completely."
            )
        groups = block.reshape(block.shape[0], -1, group_size)
        chosen = choose(groups, precision.bits)
        nearest = nearest_integers(groups, chosen, precision.bits)
        torch.from_numpy(integers[first : first + rows]).copy_(nearest.view_as(block))
        torch.from_numpy(scales[first : first + rows]).copy_(chosen)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(quantize_block, range(0, out_features, rows)):
            pass
    return QuantizedLinear(integers, scales, precision.bits, group_size)
