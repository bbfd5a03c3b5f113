"""The vision tower of pocketvl.export.graphs with attention in fp16, for a fixed number of patches."""

import torch
from torch import nn

from pocketvl.export.coreml.attention import attend
from pocketvl.export.coreml.fp16 import rotate, signed
from pocketvl.export.executorch.vision_graph import VisionBlock, VisionEncoder
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import VisionGeometry

_HIDDEN = 3e4  # taken from a padded key's scores; fp16 ends at 65504


class HalfVisionEncoder(VisionEncoder):
    """Inputs and output of VisionEncoder with its key_mask, in fp16."""

    def __init__(self, geometry: VisionGeometry, recipe: Recipe) -> None:
        # Its blocks are replaced below: attention differs, their layers do not.
        super().__init__(geometry, recipe, nn.Identity())
        self.blocks = nn.ModuleList(HalfVisionBlock(geometry, recipe, i) for i in range(geometry.depth))

    def forward(
        self,
        patches: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        key_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert key_mask is not None
        mask = ((key_mask - 1) * _HIDDEN).view(1, 1, 1, -1)
        positions = [*self.positions(rope_cos, signed(rope_sin)), mask]
        hidden = self.patch_embed(patches)
        for block in self.blocks:
            hidden = block(hidden, positions)
        embeddings: torch.Tensor = self.merger(hidden)
        return embeddings


class HalfVisionBlock(VisionBlock):
    """positions: cosines and signed sines of queries, those of keys, what to add to scores (1, 1, 1, N)."""

    def __init__(self, geometry: VisionGeometry, recipe: Recipe, index: int) -> None:
        super().__init__(geometry, recipe, nn.Identity(), index)

    def attend(self, normed: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        """What proj reads, (N, width), from what qkv reads."""
        q_cos, q_sin, cos, sin, mask = positions
        heads = self.qkv(normed).view(1, -1, 3 * self.heads, self.head_dim).transpose(1, 2)
        q, k, v = heads.split(self.heads, dim=1)
        y = attend(rotate(q, q_cos, q_sin), rotate(k, cos, sin), v, mask)
        return y.transpose(1, 2).reshape(-1, self.heads * self.head_dim)
