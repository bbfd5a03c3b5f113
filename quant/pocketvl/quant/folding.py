"""Scales that make large inputs count, to be folded into the layer before: never an operator of their own.

Lin et al., "AWQ" (2306.00978), section 3.2, with the error of 8-bit inputs taken in (SmoothQuant,
2211.10438): an input that is larger than its neighbours is divided by s and its weights are multiplied by s,
so that its weights keep more of their precision and the token's other inputs theirs.
"""

from collections.abc import Callable, Sequence

import torch

from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.recipe import Precision
from pocketvl.quant.rtn import nearest_integers, rtn_scales

_EXPONENTS = (0.15, 0.3, 0.45, 0.6, 0.75)
_TOKENS = 512  # looked at; evenly spread over all


def folding_scales(
    x: torch.Tensor,
    token_weights: torch.Tensor,
    weights: Sequence[tuple[torch.Tensor, Precision]],
    allowed: Callable[[torch.Tensor], torch.Tensor] = lambda scales: scales,
) -> torch.Tensor | None:
    """s (features,), float32 and positive, for inputs x / s and weights W s; None if leaving them is best.

    x (tokens, features); weights: W (out, features) with its bits, of every layer that reads x. allowed:
    the nearest scales that what is before can take up. What is compared is the weighted squared error of
    the layers' outputs, weights and inputs rounded to nearest.
    """
    step = max(1, len(x) // _TOKENS)
    x, token_weights = x[::step], token_weights[::step]
    size = (x.abs() * token_weights[:, None]).sum(0) / token_weights.sum().clamp_min(1e-30)
    size = size.clamp_min(float(size.max()) * 1e-4 + 1e-30)
    wanted = [x @ weight.T for weight, _ in weights]
    best, least = None, _output_error(x, token_weights, weights, wanted, torch.ones(x.shape[1]))
    for exponent in _EXPONENTS:
        scales = size**exponent
        scales = allowed(scales / scales.log().mean().exp())
        error = _output_error(x, token_weights, weights, wanted, scales)
        if error < least:
            best, least = scales, error
    return best


def _output_error(
    x: torch.Tensor,
    token_weights: torch.Tensor,
    weights: Sequence[tuple[torch.Tensor, Precision]],
    wanted: Sequence[torch.Tensor],
    scales: torch.Tensor,
) -> float:
    seen = quantized_activations(x / scales)
    total = 0.0
    for (weight, precision), right in zip(weights, wanted, strict=True):
        got = seen @ _rounded(weight * scales, precision).T
        total += float((got - right).square_().sum(1).mul_(token_weights).sum())
    return total


def _rounded(weight: torch.Tensor, precision: Precision) -> torch.Tensor:
    groups = weight.view(len(weight), -1, precision.group_size or weight.shape[1])
    scales = rtn_scales(groups, precision.bits)
    return nearest_integers(groups, scales, precision.bits).mul_(scales[..., None]).view_as(weight)
