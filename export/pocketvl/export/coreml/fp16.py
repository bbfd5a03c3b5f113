"""Leaves that compute in fp16, where ExecuTorch's compute in float32."""

import math

import torch
from torch import nn

from pocketvl.export.modules import RMSNorm


class ScaledRMSNorm(nn.Module):
    """RMSNorm whose squares cannot overflow fp16, with the weight of the norm it replaces.

    With m = max |x| the values y = x / m lie in -1..1, and
    x / sqrt(mean(x^2) + eps) = y / sqrt(mean(y^2) + (sqrt(eps) / m)^2), which holds for any positive m.
    x * x itself overflows beyond 255, and single elements of Qwen2's residual stream are thousands.
    """

    def __init__(self, norm: RMSNorm) -> None:
        super().__init__()
        self.weight = norm.weight
        root = math.sqrt(norm.epsilon)
        self.least = root  # m of a row of zeros; it keeps the last term at 1 or below
        # A tensor: a number divided by a tensor becomes Core ML's inverse, which adds 1e-4 to m.
        self.root = nn.Buffer(torch.full((1,), root), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size), same shape out."""
        most = x.abs().amax(-1, keepdim=True).clamp_min(self.least)
        y, root = x / most, self.root / most
        return y * torch.rsqrt((y * y).mean(-1, keepdim=True) + root * root) * self.weight


def scale_norms(graph: nn.Module) -> None:
    """Put a ScaledRMSNorm in the place of every filled RMSNorm of a graph."""
    for module in list(graph.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, RMSNorm):
                setattr(module, name, ScaledRMSNorm(child))


def rotate(x: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of x (..., N, head_dim) by angles whose cosines and sines are (N, head_dim).

    signed_sin is what signed() makes of the sines.
    """
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    return x * cos + swapped * signed_sin


def signed(sin: torch.Tensor) -> torch.Tensor:
    """Sines with their first half negated, so that swapping halves is all that rotate() does to x."""
    half = sin.shape[-1] // 2
    return torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
