"""RMSNorm, rotary embedding and attention whose every step stays within fp16.

Core ML's fused operator, scaled_dot_product_attention, is softmax(Q K^T / sqrt(E) + mask) V by its docstring
in coremltools, which leaves open how Q K^T is held before the division; Qwen2's exceeds fp16's 65504. Here
the scale is in the queries before the product.
"""

import math

import torch
from torch import nn

from pocketvl.export.modules import RMSNorm

_MOST_SCORES = 1 << 25  # of one product: 64 MiB in fp16, and as much again after softmax


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


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T + mask) v, as (1, heads, Q, D).

    q (1, heads, Q, D) with the scores' scale in it, k and v (1, heads, K, D), mask (1, 1, 1 or Q, K).
    """
    rows = block_rows(q.shape[1], q.shape[2], k.shape[2])
    if rows == q.shape[2]:
        return _attend(q, k, v, mask)
    parts = []
    for start in range(0, q.shape[2], rows):
        shown = mask if mask.shape[2] == 1 else mask[:, :, start : start + rows]
        parts.append(_attend(q[:, :, start : start + rows], k, v, shown))
    return torch.cat(parts, dim=2)


def block_rows(heads: int, queries: int, keys: int) -> int:
    """How many queries are taken at once: all of them, or as many as leave blocks of about one size."""
    blocks = -(-heads * queries * keys // _MOST_SCORES)
    return -(-queries // blocks)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) + mask, dim=-1) @ v
