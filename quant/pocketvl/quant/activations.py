"""Inputs of a quantized linear layer as a phone sees them: 8 bits, one scale and zero point a token."""

import torch

_LOW, _HIGH = -128, 127


def quantized_activations(x: torch.Tensor) -> torch.Tensor:
    """x (..., features) float32, rounded to 256 levels between its smallest and largest value and back.

    The range always holds 0, which is exact, as in XNNPACK's qd8 (asymmetric, per token) and in torchao's
    int8_asym_per_token.
    """
    low = x.amin(-1, keepdim=True).clamp_max_(0)
    high = x.amax(-1, keepdim=True).clamp_min_(0)
    scale = ((high - low) / (_HIGH - _LOW)).clamp_min_(torch.finfo(torch.float32).tiny)
    zero = (_LOW - torch.round(low / scale)).clamp_(_LOW, _HIGH)
    levels = torch.round(x / scale).add_(zero).clamp_(_LOW, _HIGH)
    return levels.sub_(zero).mul_(scale)
