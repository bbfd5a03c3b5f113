"""The vision tower with attention in fp16 becomes vision_encoder.mlpackage, a function for each bucket."""

import math

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.census import layer_groups
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.fp16 import attend, rotate, signed
from pocketvl.export.coreml.function import Signature, build_function, prepare
from pocketvl.export.coreml.package import describe, write_package
from pocketvl.export.estimate import component_cost
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import leaf_sizes
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import package_vision
from pocketvl.runtime.bundle.geometry import VisionGeometry

_MASKED = 3e4  # taken from a padded key's scores; fp16 ends at 65504


class HalfVisionEncoder(nn.Module):
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim), key_mask (N,) to embeddings, in fp16.

    embeddings (N / merge_area, output): neighbouring rows are one token, as in the merger's order. key_mask:
    1 for a patch, 0 for padding, which changes no other row.
    """

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        vision = plan.geometry.vision
        self.patch_embed = modules.patch_embed(plan)
        self.scale = 1 / math.sqrt(vision.head_dim)
        parts = (modules.vision_block(plan, index) for index in range(vision.depth))
        self.blocks = nn.ModuleList(HalfVisionBlock(part, vision) for part in parts)
        self.merger = HalfMerger(modules.merger(plan), vision)

    def forward(
        self, patches: torch.Tensor, rope_cos: torch.Tensor, rope_sin: torch.Tensor, key_mask: torch.Tensor
    ) -> torch.Tensor:
        mask = ((key_mask - 1) * _MASKED).view(1, 1, 1, -1)
        rope_sin = signed(rope_sin)
        positions = [rope_cos * self.scale, rope_sin * self.scale, rope_cos, rope_sin, mask]
        hidden = self.patch_embed(patches)
        for block in self.blocks:
            hidden = block(hidden, positions)
        embeddings: torch.Tensor = self.merger(hidden)
        return embeddings


class HalfVisionBlock(nn.Module):
    """positions: cosines and signed sines of queries, those of keys, what to add to scores (1, 1, 1, N)."""

    def __init__(self, parts: VisionBlockParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.heads, self.head_dim = geometry.num_heads, geometry.head_dim
        self.norm1, self.qkv, self.proj = parts.norm1, parts.qkv, parts.proj
        self.norm2, self.fc1, self.fc2 = parts.norm2, parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        hidden = hidden + self.proj(self._attend(self.norm1(hidden), positions))
        inner = self.fc1(self.norm2(hidden))
        mlp: torch.Tensor = self.fc2(inner * torch.sigmoid(1.702 * inner))  # QuickGELU
        return hidden + mlp

    def _attend(self, normed: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        """What proj reads, (N, width)."""
        q_cos, q_sin, cos, sin, mask = positions
        heads = self.qkv(normed).view(1, -1, 3 * self.heads, self.head_dim).transpose(1, 2)
        q, k, v = heads.split(self.heads, dim=1)
        y = attend(rotate(q, q_cos, q_sin), rotate(k, cos, sin), v, mask)
        return y.transpose(1, 2).reshape(-1, self.heads * self.head_dim)


class HalfMerger(nn.Module):
    """merge_area neighbouring patches become one token."""

    def __init__(self, parts: MergerParts, geometry: VisionGeometry) -> None:
        super().__init__()
        self.merged = geometry.hidden_size * geometry.merge_area
        self.norm, self.fc1, self.fc2 = parts.norm, parts.fc1, parts.fc2

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = self.fc1(self.norm(hidden).view(-1, self.merged))
        embeddings: torch.Tensor = self.fc2(nn.functional.gelu(inner))
        return embeddings


def export_vision(inputs: ExportInputs, progress: Progress) -> Component:
    """Write vision_encoder.mlpackage: one function a bucket, weights stored once.

    Raises CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    plan, settings, vision = inputs.plan, inputs.settings, inputs.plan.geometry.vision
    encoder = HalfVisionEncoder(plan)
    cost = component_cost(names.COREML, names.VISION_ENCODER, plan.geometry, settings)
    quantizing, _, converting, writing = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the vision encoder", leaf_sizes(encoder))
    weights = prepare(encoder, inputs.source, plan.method, steps.next)
    wanted = expected(weights.values())
    entries = tuple(package_vision(vision, bucket) for bucket in settings.buckets)
    functions = {}
    for index, entry in enumerate(entries):
        converting(f"Converting the vision encoder for {entry.patches} patches", index / len(entries))
        functions[entry.method] = build_function(encoder, Signature.of(entry), weights)
    writing("Writing the vision encoder", 0.0)
    path = inputs.folder / names.VISION_ENCODER_PACKAGE
    facts: dict[str, int | str] = {"buckets": ",".join(map(str, settings.buckets))}
    write_package(path, functions, describe("Images to embeddings", plan, facts))
    found = census(path, dict.fromkeys(functions, wanted))
    progress("Wrote the vision encoder", 1.0)
    return Component(entries, layer_groups(names.VISION_ENCODER, wanted, found))
