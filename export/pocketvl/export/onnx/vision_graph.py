"""The vision tower in ONNX operators with fused attention.

Forms and their speed: docs/decisions/0010-onnx.md.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts
from pocketvl.export.onnx.operators import emit, split
from pocketvl.runtime.geometry import VisionGeometry

Angles = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # cosines and sines (N, head_dim / 2), the first row


class OnnxVisionEncoder(nn.Module):
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim) to embeddings (N / merge_area, output).

    All float32; N is dynamic, and neighbouring rows are one token, as in the merger's order.
    """

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        vision = plan.geometry.vision
        self.patch_embed = modules.patch_embed(plan)
        parts = (modules.vision_block(plan, index) for index in range(vision.depth))
        self.blocks = nn.ModuleList(OnnxVisionBlock(part, vision) for part in parts)
        self.merger = OnnxMerger(modules.merger(plan), vision)

    def forward(self, patches: torch.Tensor, rope_cos: torch.Tensor, rope_sin: torch.Tensor) -> torch.Tensor:
        half = rope_cos.shape[-1] // 2  # both halves of a head turn alike
        angles = rope_cos.narrow(1, 0, half), rope_sin.narrow(1, 0, half), torch.tensor([0])
        hidden = self.patch_embed(patches)
        for block in self.blocks:
            hidden = block(hidden, angles)
        embeddings: torch.Tensor = self.merger(hidden)
        return embeddings


class OnnxVisionBlock(nn.Module):
    """One block."""

    def __init__(self, parts: VisionBlockParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads, self.head_dim = geometry.num_heads, geometry.head_dim
        self.norm1, self.qkv, self.proj = parts.norm1, parts.qkv, parts.proj
        self.norm2, self.fc1, self.fc2 = parts.norm2, parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor, angles: Angles) -> torch.Tensor:
        hidden = hidden + self.proj(self._attend(self.norm1(hidden), angles))
        inner = self.fc1(self.norm2(hidden))
        activated = emit("com.microsoft::QuickGelu", [inner], {"alpha": 1.702}, inner.shape)
        mlp: torch.Tensor = self.fc2(activated)
        return hidden + mlp

    def _attend(self, normed: torch.Tensor, angles: Angles) -> torch.Tensor:
        """What proj reads, (N, width).

        Without a mask onnxruntime's kernel goes through the keys in tiles, so N x N scores never exist.
        """
        q, k, v = split(self.qkv(normed).unsqueeze(0), [self.heads * self.head_dim] * 3)
        attended = emit(
            "com.microsoft::MultiHeadAttention",
            [self._rotate(q, angles), self._rotate(k, angles), v],
            {"num_heads": self.heads, "scale": 1 / math.sqrt(self.head_dim)},
            v.shape,
        )
        return attended.squeeze(0)

    def _rotate(self, x: torch.Tensor, angles: Sequence[torch.Tensor]) -> torch.Tensor:
        cos, sin, first = angles
        inputs = [x, first, cos, sin]
        return emit("com.microsoft::RotaryEmbedding", inputs, {"num_heads": self.heads}, x.shape)


class OnnxMerger(nn.Module):
    """merge_area neighbouring patches become one token."""

    def __init__(self, parts: MergerParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.merged = geometry.hidden_size * geometry.merge_area
        self.norm, self.fc1, self.fc2 = parts.norm, parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = self.fc1(self.norm(hidden).view(-1, self.merged))
        embeddings: torch.Tensor = self.fc2(emit("Gelu", [inner], {"approximate": "none"}, inner.shape))
        return embeddings
