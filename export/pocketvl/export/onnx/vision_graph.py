"""The vision tower of pocketvl.export.graphs in ONNX operators with fused attention.

Forms and their speed: docs/decisions/0010-onnx.md.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from pocketvl.export.executorch.vision_graph import Merger, VisionBlock, VisionEncoder
from pocketvl.export.onnx.operators import emit, split
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import VisionGeometry


class OnnxVisionEncoder(VisionEncoder):
    """Inputs and output of VisionEncoder, without a key_mask: N is dynamic."""

    def __init__(self, geometry: VisionGeometry, recipe: Recipe) -> None:
        # Its parts are replaced below: their operators differ, their layers do not.
        super().__init__(geometry, recipe, nn.Identity())
        self.blocks = nn.ModuleList(OnnxVisionBlock(geometry, recipe, i) for i in range(geometry.depth))
        self.merger = OnnxMerger(geometry, recipe)

    def positions(self, rope_cos: torch.Tensor, rope_sin: torch.Tensor) -> list[torch.Tensor]:
        """Cosines and sines (N, head_dim / 2), as both halves of a head turn alike; the row to begin at."""
        half = rope_cos.shape[-1] // 2
        return [rope_cos.narrow(1, 0, half), rope_sin.narrow(1, 0, half), torch.tensor([0])]


class OnnxVisionBlock(VisionBlock):
    """positions: what OnnxVisionEncoder.positions gives."""

    def __init__(self, geometry: VisionGeometry, recipe: Recipe, index: int) -> None:
        super().__init__(geometry, recipe, nn.Identity(), index)

    def attend(self, normed: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        """What proj reads, (N, width), from what qkv reads.

        Without a mask onnxruntime's kernel goes through the keys in tiles, so N x N scores never exist.
        """
        q, k, v = split(self.qkv(normed).unsqueeze(0), [self.heads * self.head_dim] * 3)
        attended = emit(
            "com.microsoft::MultiHeadAttention",
            [self._rotate(q, positions), self._rotate(k, positions), v],
            {"num_heads": self.heads, "scale": 1 / math.sqrt(self.head_dim)},
            v.shape,
        )
        return attended.squeeze(0)

    def activate(self, normed: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        inner = self.fc1(normed)
        return emit("com.microsoft::QuickGelu", [inner], {"alpha": 1.702}, inner.shape)

    def _rotate(self, x: torch.Tensor, positions: Sequence[torch.Tensor]) -> torch.Tensor:
        cos, sin, first = positions
        return emit(
            "com.microsoft::RotaryEmbedding", [x, first, cos, sin], {"num_heads": self.heads}, x.shape
        )


class OnnxMerger(Merger):
    def activate(self, tokens: torch.Tensor) -> torch.Tensor:
        """What fc2 reads, from what fc1 reads."""
        inner = self.fc1(tokens)
        return emit("Gelu", [inner], {"approximate": "none"}, inner.shape)
