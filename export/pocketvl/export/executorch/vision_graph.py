"""Qwen2-VL's vision tower for one still image or one temporal slice of a video.

Wang et al., "Qwen2-VL" (2024), section 2.1: a vision transformer with two-dimensional rotary positions.
"""

import math

import torch
from torch import nn

from pocketvl.export.executorch.vision_attention import HeadByHeadAttention
from pocketvl.export.modules import LayerNorm, linear
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import VisionGeometry

_HIDDEN = 1e9  # taken from a padded key's scores: their exponentials are exactly 0 in float32


class VisionEncoder(nn.Module):
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim) to embeddings (N / merge_area, output).

    All float32. key_mask (N,), for static shapes only: 1 for a patch, 0 for padding, which then changes no
    other row. N is a multiple of merge_area and patches come in the merger's order, so that merge_area
    neighbouring rows are one token.

    attention: what the blocks call; HeadByHeadAttention itself, or the same lowered beforehand.
    """

    def __init__(self, geometry: VisionGeometry, recipe: Recipe, attention: nn.Module | None = None) -> None:
        super().__init__()
        attention = HeadByHeadAttention(geometry) if attention is None else attention
        # The checkpoint's patch embedding is a 3-D convolution whose stride is its kernel: a linear layer.
        width, patch = geometry.hidden_size, geometry.patch_dim
        name, source = "vision_encoder.patch_embed", "visual.patch_embed.proj"
        self.patch_embed = linear(name, source, width, patch, False, recipe)
        self.scale = 1 / math.sqrt(geometry.head_dim)
        self.blocks = nn.ModuleList(
            VisionBlock(geometry, recipe, attention, index) for index in range(geometry.depth)
        )
        self.merger = Merger(geometry, recipe)

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

    def __init__(self, geometry: VisionGeometry, recipe: Recipe, attention: nn.Module, index: int) -> None:
        super().__init__()
        width, ffn, eps = geometry.hidden_size, geometry.intermediate_size, geometry.layer_norm_eps
        name, source = f"vision_encoder.blocks.{index}", f"visual.blocks.{index}"
        self.heads, self.head_dim = geometry.num_heads, geometry.head_dim
        self.norm1 = LayerNorm(f"{source}.norm1", width, eps)
        self.qkv = linear(f"{name}.qkv", f"{source}.attn.qkv", 3 * width, width, True, recipe)
        self.attention = attention
        self.proj = linear(f"{name}.proj", f"{source}.attn.proj", width, width, True, recipe)
        self.norm2 = LayerNorm(f"{source}.norm2", width, eps)
        self.fc1 = linear(f"{name}.fc1", f"{source}.mlp.fc1", ffn, width, True, recipe)
        self.fc2 = linear(f"{name}.fc2", f"{source}.mlp.fc2", width, ffn, True, recipe)

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

    def __init__(self, geometry: VisionGeometry, recipe: Recipe) -> None:
        super().__init__()
        self.merged = geometry.hidden_size * geometry.merge_area
        name, source, out = "vision_encoder.merger", "visual.merger.mlp", geometry.output_size
        self.norm = LayerNorm("visual.merger.ln_q", geometry.hidden_size, geometry.layer_norm_eps)
        self.fc1 = linear(f"{name}.fc1", f"{source}.0", self.merged, self.merged, True, recipe)
        self.fc2 = linear(f"{name}.fc2", f"{source}.2", out, self.merged, True, recipe)

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
