"""What quantizing a packed layer again costs: the error of its weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pocketvl.quant.quantized import QuantizedLinear

_ROWS = 512  # compared at a time, so that no second float weight stands in memory


@dataclass(frozen=True)
class WeightError:
    """relative_error: |W' - W| / |W| of all weights of the layer, Frobenius norms."""

    layer: str
    relative_error: float


def measure_weight_error(layer: str, weight: torch.Tensor, quantized: QuantizedLinear) -> WeightError:
    """weight: (out, in), any float dtype, what `quantized` stands for."""
    error, size = 0.0, 0.0
    for first in range(0, quantized.out_features, _ROWS):
        rows = slice(first, first + _ROWS)
        part = QuantizedLinear(
            quantized.integers[rows], quantized.scales[rows], quantized.bits, quantized.group_size
        )
        wanted = weight[rows].double()
        error += float((torch.from_numpy(part.dequantize()) - wanted).square().sum())
        size += float(wanted.square().sum())
    return WeightError(layer, math.sqrt(error / size) if size else 0.0)


def describe_weight_errors(errors: Sequence[WeightError]) -> str:
    """For the user: how many layers, their mean error and the worst. errors must not be empty."""
    worst = max(errors, key=lambda layer: layer.relative_error)
    mean = sum(layer.relative_error for layer in errors) / len(errors)
    return (
        f"Layers of the checkpoint that had to be quantized again: {len(errors)}. Their weights moved by"
        f" {100 * mean:.2f} % on average, by {100 * worst.relative_error:.2f} % at most ({worst.layer})."
    )
