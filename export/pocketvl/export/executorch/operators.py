"""What XNNPACK runs in a form of its own: RMSNorm, rotary embedding, and attention of the vision tower.

In that attention every patch sees every patch, one head after the other; other forms were measured in
docs/decisions/0002-vision-attention.md.
"""

import torch
from torch import nn

from pocketvl.export.modules import RMSNorm
from pocketvl.runtime.bundle.geometry import VisionGeometry

_JOINED = 4  # XNNPACK concatenates at most five tensors at once


class XnnpackRMSNorm(RMSNorm):
    """The mean of the squares by a linear layer with the weights 1 / size and the bias eps.

    XNNPACK has no mean over the last axis of any rank. This keeps the whole norm inside the delegate, where
    a portable mean would split each decoder layer in several delegates.
    """

    def __init__(self, source: str, size: int, eps: float) -> None:
        super().__init__(source, size, eps)
        self.mean = nn.Buffer(torch.full((1, size), 1.0 / size), persistent=False)
        self.eps = nn.Buffer(torch.full((1,), eps), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) float32, same shape out."""
        return x * torch.rsqrt(nn.functional.linear(x * x, self.mean, self.eps)) * self.weight


def half_rotation(head_dim: int) -> torch.Tensor:
    """(head_dim, head_dim) R with R x = (-x2, x1) for the halves x1, x2 of x: rotary embedding's second term.

    A product with it stays inside the XNNPACK delegate, where slices of a dynamic length do not; it is
    exact, since each row has one element.
    """
    half = head_dim // 2
    rotation = torch.zeros(head_dim, head_dim)
    rotation[:half, half:] = -torch.eye(half)
    rotation[half:, :half] = torch.eye(half)
    return rotation


class HeadByHeadAttention(nn.Module):
    """One graph for all blocks: it has no weights of its own.

    Takes 3 x heads tensors (1, N, head_dim), q of each head, then k, then v; cos and sin (N, head_dim) for q,
    where they carry the scale of the scores as well; cos and sin (N, head_dim) for k; and, for static
    shapes only, what to add to each key's scores (N,). All float32. Returns (1, N, heads * head_dim) in a
    tuple, as a delegate does. Scores of one head at a time are in memory, N x N and not N x N x heads.
    """

    def __init__(self, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads = geometry.num_heads
        self.rotation = nn.Buffer(half_rotation(geometry.head_dim), persistent=False)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor]:
        heads = self.heads
        queries, keys, values = tensors[:heads], tensors[heads : 2 * heads], tensors[2 * heads : 3 * heads]
        q_cos, q_sin, k_cos, k_sin, *key_bias = tensors[3 * heads :]
        outputs = []
        for query, key, value in zip(queries, keys, values, strict=True):
            scores = torch.bmm(
                self._rotate(query, q_cos, q_sin), self._rotate(key, k_cos, k_sin).transpose(1, 2)
            )
            for bias in key_bias:
                scores = scores + bias
            outputs.append(torch.bmm(torch.softmax(scores, dim=-1), value))
        return (_join(outputs),)

    def _rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return x * cos + nn.functional.linear(x, self.rotation) * sin


class FusedAttention(nn.Module):
    """HeadByHeadAttention for running a block as it is: all heads at once, which takes a fraction of the time
    for many small images."""

    def __init__(self, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads = geometry.num_heads
        self.rotation = nn.Buffer(half_rotation(geometry.head_dim), persistent=False)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor]:
        heads = self.heads
        queries, keys, values = (
            torch.cat(tensors[first * heads : (first + 1) * heads]) for first in range(3)
        )
        q_cos, q_sin, k_cos, k_sin = tensors[3 * heads :]
        queries = queries * q_cos + nn.functional.linear(queries, self.rotation) * q_sin
        keys = keys * k_cos + nn.functional.linear(keys, self.rotation) * k_sin
        # The queries carry the scale.
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        return (attended.transpose(0, 1).reshape(1, attended.shape[1], -1),)


class AttentionOutline(nn.Module):
    """The shapes of HeadByHeadAttention without its work.

    torch interprets what stands behind a delegate's call again in each of its passes, once a block; here that
    is a few operators instead of hundreds.
    """

    def __init__(self, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads, self.width = geometry.num_heads, geometry.hidden_size

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor]:
        k_cos = tensors[3 * self.heads + 2]
        return (k_cos[None, :, :1].expand(1, -1, self.width).clone(),)


def attention_inputs(geometry: VisionGeometry, patches: int, masked: bool) -> tuple[torch.Tensor, ...]:
    """Zeros in the shapes that HeadByHeadAttention takes, to trace it with."""
    heads = [torch.zeros(1, patches, geometry.head_dim) for _ in range(3 * geometry.num_heads)]
    factors = [torch.zeros(patches, geometry.head_dim) for _ in range(4)]
    return (*heads, *factors, *([torch.zeros(patches)] if masked else []))


def _join(outputs: list[torch.Tensor]) -> torch.Tensor:
    while len(outputs) > 1:
        groups = [outputs[first : first + _JOINED] for first in range(0, len(outputs), _JOINED)]
        outputs = [torch.cat(group, dim=2) if len(group) > 1 else group[0] for group in groups]
    return outputs[0]
