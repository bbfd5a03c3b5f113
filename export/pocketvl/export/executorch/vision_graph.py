"""Qwen2-VL's vision tower for one still image or one temporal slice of a video.

Wang et al., "Qwen2-VL" (2024), section 2.1: a vision transformer with two-dimensional rotary positions.
"""

import math

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.executorch.operators import HeadByHeadAttention
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts
from pocketvl.runtime.geometry import VisionGeometry

_HIDDEN = 1e9  # taken from a padded key's scores: their exponentials are exactly 0 in float32


class VisionEncoder(nn.Module):
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim) to embeddings (N / merge_area, output).

    All float32. key_mask (N,), for static shapes only: 1 for a patch, 0 for padding, which then changes no
    other row. N is a multiple of merge_area and patches come in the merger's order, so that merge_area
    neighbouring rows are one token.

    attention: what the blocks call; HeadByHeadAttention itself, or the same lowered beforehand.
    """

    def __init__(self, plan: LayerPlan, attention: nn.Module | None = None) -> None:
        super().__init__()
        vision = plan.geometry.vision
        attention = HeadByHeadAttention(vision) if attention is None else attention
        self.patch_embed = modules.patch_embed(plan)
        self.scale = 1 / math.sqrt(vision.head_dim)
        self.blocks = nn.ModuleList(
            VisionBlock(modules.vision_block(plan, index), vision, attention) for index in range(vision.depth)
        )
        self.merger = Merger(modules.merger(plan), vision)

    def forward(
        self,
        patches: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        key_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        positions = self.positions(rope_cos, rope_sin)
        if key_mask is not None:
            positions.append((key_mask - 1) * _HIDDEN)
        hidden = self.patch_embed(patches)
        for block in self.blocks:
            hidden = block(hidden, positions)
        embeddings: torch.Tensor = self.merger(hidden)
        return embeddings

    def positions(self, rope_cos: torch.Tensor, rope_sin: torch.Tensor) -> list[torch.Tensor]:
        """What every block's attention reads beside heads: the rope of queries carries the scores' scale."""
        return [rope_cos * self.scale, rope_sin * self.scale, rope_cos, rope_sin]


class VisionBlock(nn.Module):
    """One block; its steps are methods of their own, so that calibration can look in between."""

    def __init__(self, parts: VisionBlockParts, geometry: VisionGeometry, attention: nn.Module) -> None:
        super().__init__()
        self.heads, self.head_dim = geometry.num_heads, geometry.head_dim
        self.norm1, self.qkv = parts.norm1, parts.qkv
        self.attention = attention
        self.proj, self.norm2 = parts.proj, parts.norm2
        self.fc1, self.fc2 = parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        hidden = hidden + self.proj(self.attend(self.norm1(hidden), positions))
        mlp: torch.Tensor = self.fc2(self.activate(self.norm2(hidden)))
        return hidden + mlp

    def attend(self, normed: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        """What proj reads, (N, width), from what qkv reads."""
        heads = self.qkv(normed).view(-1, 3 * self.heads, self.head_dim).transpose(0, 1).split(1)
        (attended,) = self.attention(*heads, *positions)
        joined: torch.Tensor = attended.view(-1, self.heads * self.head_dim)
        return joined

    def activate(self, normed: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        inner = self.fc1(normed)
        activated: torch.Tensor = inner * torch.sigmoid(1.702 * inner)  # QuickGELU (Hendrycks, Gimpel, 2016)
        return activated


class Merger(nn.Module):
    """merge_area neighbouring patches become one token."""

    def __init__(self, parts: MergerParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.merged = geometry.hidden_size * geometry.merge_area
        self.norm, self.fc1, self.fc2 = parts.norm, parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.fc2(self.activate(self.join(hidden)))
        return embeddings

    def join(self, hidden: torch.Tensor) -> torch.Tensor:
        """What fc1 reads, (tokens, merged)."""
        tokens: torch.Tensor = self.norm(hidden).view(-1, self.merged)
        return tokens

    def activate(self, tokens: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        return nn.functional.gelu(self.fc1(tokens))
