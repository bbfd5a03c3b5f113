"""Qwen2-VL's vision tower in operators that XNNPACK runs.

Wang et al., "Qwen2-VL" (2024), section 2.1: a vision transformer with two-dimensional rotary positions.
One call takes one still image or one temporal slice of a video.
"""

import math

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.executorch.operators import HeadByHeadAttention
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import Linear, MergerParts, VisionBlockParts
from pocketvl.runtime.bundle.geometry import VisionGeometry

_HIDDEN = 1e9  # taken from a padded key's scores: their exponentials are exactly 0 in float32


class VisionEncoder(nn.Module):
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim) to embeddings (N / merge_area, output).

    All float32. key_mask (N,), for static shapes only: 1 for a patch, 0 for padding, which then changes no
    other row. N is a multiple of merge_area and patches come in the merger's order, so that merge_area
    neighbouring rows are one token.

    attention: what the blocks call; HeadByHeadAttention itself, or another of its interface.
    """

    def __init__(self, plan: LayerPlan, attention: nn.Module | None = None) -> None:
        super().__init__()
        vision = plan.geometry.vision
        attention = HeadByHeadAttention(vision) if attention is None else attention
        self.patch_embed = modules.patch_embed(plan)
        self.positions = Positions(vision)
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
        positions = self.positions(rope_cos, rope_sin, key_mask)
        hidden = self.patch_embed(patches)
        for block in self.blocks:
            hidden = block(hidden, positions)
        embeddings: torch.Tensor = self.merger(hidden)
        return embeddings


class Positions(nn.Module):
    """What every block's attention reads beside heads."""

    def __init__(self, geometry: VisionGeometry) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(geometry.head_dim)

    def forward(
        self, rope_cos: torch.Tensor, rope_sin: torch.Tensor, key_mask: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """Cos and sin (N, head_dim) of queries, which carry the scores' scale; those of keys; and, with a key
        mask, what is added to each key's scores (N,)."""
        positions = [rope_cos * self.scale, rope_sin * self.scale, rope_cos, rope_sin]
        return positions if key_mask is None else [*positions, key_bias(key_mask)]


def key_bias(key_mask: torch.Tensor) -> torch.Tensor:
    """What hides padded keys, (N,), from a mask that is 1 for a patch and 0 for padding."""
    return (key_mask - 1) * _HIDDEN


class VisionBlock(nn.Module):
    """One block; its steps are modules of their own, so that calibration can look in between and lowering can
    take those that XNNPACK runs, which are all but the norms."""

    def __init__(self, parts: VisionBlockParts, geometry: VisionGeometry, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.heads = parts.norm1, Heads(parts.qkv, geometry)
        self.attention = attention
        self.project = Project(parts.proj)
        self.norm2, self.mlp = parts.norm2, Mlp(parts)

    def forward(self, hidden: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        (hidden,) = self.project(self.attend(self.norm1(hidden), positions), hidden)
        (hidden,) = self.mlp(self.norm2(hidden), hidden)
        return hidden

    def attend(self, normed: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        """What proj reads, (1, N, width), from what qkv reads."""
        (heads,) = self.heads(normed)
        attended: torch.Tensor = self.attention(*heads.split(1), *positions)[0]
        return attended


class Heads(nn.Module):
    """Queries, keys and values of each head; in a tuple, as a delegate gives it."""

    def __init__(self, qkv: Linear, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads, self.head_dim = geometry.num_heads, geometry.head_dim
        self.qkv = qkv

    def forward(self, normed: torch.Tensor) -> tuple[torch.Tensor]:
        """normed (N, width); gives (3 * heads, N, head_dim): q of each head, then k, then v."""
        return (self.qkv(normed).view(-1, 3 * self.heads, self.head_dim).transpose(0, 1),)


class Project(nn.Module):
    """The output projection, added to what came in; in a tuple, as a delegate gives it."""

    def __init__(self, proj: Linear) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, attended: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        """attended (1, N, width), hidden (N, width); gives (N, width)."""
        return (hidden + self.proj(attended.view(-1, attended.shape[-1])),)


class Mlp(nn.Module):
    """The feed-forward part, added to what came in; in a tuple, as a delegate gives it."""

    def __init__(self, parts: VisionBlockParts) -> None:
        super().__init__()
        self.fc1, self.fc2 = parts.fc1, parts.fc2

    def forward(self, normed: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        """normed and hidden (N, width); gives (N, width)."""
        return (hidden + self.fc2(self.activate(normed)),)

    def activate(self, normed: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        inner = self.fc1(normed)
        activated: torch.Tensor = inner * torch.sigmoid(1.702 * inner)  # QuickGELU (Hendrycks, Gimpel, 2016)
        return activated


class Merger(nn.Module):
    """merge_area neighbouring patches become one token."""

    def __init__(self, parts: MergerParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.norm, self.mlp = parts.norm, MergerMlp(parts, geometry)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden (N, width); gives (N / merge_area, output)."""
        embeddings: torch.Tensor = self.mlp(self.norm(hidden))[0]
        return embeddings


class MergerMlp(nn.Module):
    """All of the merger but its norm; in a tuple, as a delegate gives it."""

    def __init__(self, parts: MergerParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.merged = geometry.hidden_size * geometry.merge_area
        self.fc1, self.fc2 = parts.fc1, parts.fc2

    def forward(self, normed: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.fc2(self.activate(self.join(normed))),)

    def join(self, normed: torch.Tensor) -> torch.Tensor:
        """What fc1 reads, (tokens, merged)."""
        return normed.view(-1, self.merged)

    def activate(self, tokens: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        return nn.functional.gelu(self.fc1(tokens))
