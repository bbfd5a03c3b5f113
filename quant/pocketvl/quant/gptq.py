"""GPTQ: each rounding error is made up for by the weights that are still to be rounded.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2022),
algorithm 1, with inputs in the order of their strength as far as groups allow, and with scales chosen when
their group's turn comes, from the weights as they are then.
"""

import torch

from pocketvl.quant.hessian import Factor
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.quant.rtn import integer_range, nearest_integers, rtn_scales, stored_scales

_BLOCK = 128  # columns whose errors are passed on together
_ROWS = 4096  # rows at a time, so that temporaries stay small
_SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)  # shares of the scale that clips nothing


def gptq(weight: torch.Tensor, factor: Factor, precision: Precision) -> QuantizedLinear:
    """Quantize weight (out, in), float32 and finite, over what its inputs are like.

    factor: hessian.factorize of the inputs' second moments with the group size of `bits` (all inputs for
    8 bits). Rows do not depend on each other.
    """
    out_features, in_features = weight.shape
    group = precision.group_size or in_features
    integers = torch.empty(out_features, in_features, dtype=torch.int8)
    scales = torch.empty(out_features, in_features // group)
    for first in range(0, out_features, _ROWS):
        rows = slice(first, first + _ROWS)
        integers[rows], scales[rows] = _quantize_rows(weight[rows], factor, precision.bits, group)
    return QuantizedLinear(integers.numpy(), scales.numpy(), precision.bits, group)


def best_scales(groups: torch.Tensor, importance: torch.Tensor, bits: int) -> torch.Tensor:
    """Scales (rows, groups) of least weighted squared error among clipped ones and their least-squares fits.

    groups: float32 (rows, groups, size); importance: positive, (groups, size).
    """
    largest = rtn_scales(groups, bits)
    best, least = largest, torch.full_like(largest, torch.inf)
    for shrink in _SHRINKS:
        scales = stored_scales(largest * shrink, bits)
        integers = nearest_integers(groups, scales, bits)
        weighted = integers * importance
        # For these integers the error is least at s = <w, q> / <q, q>.
        fitted = (weighted * groups).sum(-1) / (weighted * integers).sum(-1).clamp_min_(1e-30)
        fitted = stored_scales(torch.where(fitted > 0, fitted, scales), bits)
        error = (
            torch.addcmul(groups, integers, fitted[..., None], value=-1).square_().mul_(importance).sum(-1)
        )
        better = error < least
        best, least = torch.where(better, fitted, best), torch.where(better, error, least)
    return best


def _quantize_rows(
    weight: torch.Tensor, factor: Factor, bits: int, group: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 integers (rows, in) and float32 scales (rows, groups), both in the layer's own order of inputs."""
    upper, order = factor.upper, factor.order
    count = weight.shape[1]
    left = weight[:, order].contiguous()  # what is still to be rounded, with errors passed on so far
    integers = torch.empty_like(left)
    scales = torch.empty(len(weight), count // group)
    grouped = bits == 4
    if not grouped:
        scales = rtn_scales(left.view(len(left), 1, count), bits)
    step = _BLOCK if not grouped else max(group, _BLOCK // group * group)
    for start in range(0, count, step):
        end = min(start + step, count)
        block = left[:, start:end].clone()
        errors = torch.empty_like(block)
        corner = upper[start:end, start:end]
        for column in range(end - start):
            place = int(order[start + column]) // group
            if grouped and column % group == 0:
                inside = slice(column, column + group)
                importance = corner.diagonal()[inside].square().reciprocal()
                scales[:, place] = best_scales(block[:, None, inside], importance[None], bits)[:, 0]
            scale = scales[:, place]
            rounded = torch.div(block[:, column], scale).round_().clamp_(*integer_range(bits))
            integers[:, start + column] = rounded
            error = torch.addcmul(block[:, column], rounded, scale, value=-1).div_(corner[column, column])
            errors[:, column] = error
            if column + 1 < end - start:
                block[:, column + 1 :].addr_(error, corner[column, column + 1 :], alpha=-1)
        if end < count:
            left[:, end:].addmm_(errors, upper[start:end, end:], alpha=-1)
    restored = torch.empty(len(weight), count, dtype=torch.int8)
    restored[:, order] = integers.to(torch.int8)
    return restored, scales
