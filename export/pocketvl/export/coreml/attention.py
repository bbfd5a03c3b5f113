"""Attention whose every step stays within fp16.

Core ML's fused operator, scaled_dot_product_attention, is softmax(Q K^T / sqrt(E) + mask) V by its docstring
in coremltools, which leaves open how Q K^T is held before the division; Qwen2's exceeds fp16's 65504. Here
the scale is in the queries before the product.
"""

import torch

_MOST_SCORES = 1 << 25  # of one product: 64 MiB in fp16, and as much again after softmax


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
