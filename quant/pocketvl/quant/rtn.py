"""Round to nearest: the largest weight of a group decides its scale."""

import torch

_SMALLEST = torch.finfo(torch.float32).tiny


def integer_range(bits: int) -> tuple[int, int]:
    """Lowest and highest integer of a symmetric quantization to 4 or 8 bits."""
    return (-8, 7) if bits == 4 else (-127, 127)


def stored_scales(scales: torch.Tensor, bits: int) -> torch.Tensor:
    """Scales as a target stores them: bfloat16's values for 4 bits. Positive float32 in and out."""
    if bits == 4:
        scales = scales.bfloat16().float()
    return scales.clamp_min(_SMALLEST)


def nearest_integers(groups: torch.Tensor, scales: torch.Tensor, bits: int) -> torch.Tensor:
    """float32 integers (rows, groups, group size) for scales (rows, groups)."""
    low, high = integer_range(bits)
    return torch.div(groups, scales[..., None]).round_().clamp_(low, high)


def rtn_scales(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """The smallest storable scale that clips no weight of the group by more than half a step.

    groups: float32 (rows, groups, group size), finite. Returns float32 (rows, groups), positive;
    1 for a group of zeros.
    """
    low, high = integer_range(bits)
    # Both at once, torch.aminmax, takes three times as long along an axis.
    smallest, largest = groups.amin(-1), groups.amax(-1)
    scales = torch.maximum(largest / high, smallest / low)
    return stored_scales(torch.where(scales > 0, scales, 1.0), bits)
