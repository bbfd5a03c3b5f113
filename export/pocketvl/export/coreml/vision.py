"""The vision tower with attention in fp16 becomes vision_encoder.mlpackage, a function for each bucket."""

import math

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.census import layer_groups
from pocketvl.export.component import Progress
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.fp16 import attend, rotate, signed
from pocketvl.export.coreml.function import Signature, build_function, prepare
from pocketvl.export.coreml.package import describe, write_package
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts, linears
from pocketvl.export.steps import Steps
from pocketvl.export.target import Component, ExportInputs
from pocketvl.runtime import names
from pocketvl.runtime.geometry import VisionGeometry
from pocketvl.runtime.manifest import EntryPoint, TensorSpec

_MASKED = 3e4  # taken from a padded key's scores; fp16 ends at 65504
_FILLED = 0.3  # share of the time spent when the weights are quantized
_CONVERTED = 0.9


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
        cos, sin = rope_cos, signed(rope_sin)
        positions = [cos * self.scale, sin * self.scale, cos, sin, mask]
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
    steps = Steps(progress, "Quantizing the vision encoder", 0.0, _FILLED, sum(1 for _ in linears(encoder)))
    weights = prepare(encoder, inputs.source, plan.method, steps.next)
    wanted = expected(weights.values())
    steps = Steps(progress, "Converting the vision encoder", _FILLED, _CONVERTED, len(settings.buckets))
    functions = {}
    for bucket in settings.buckets:
        signature = encoder_signature(vision, bucket)
        functions[signature.name] = build_function(encoder, signature, weights)
        steps.next()
    progress("Writing the vision encoder", _CONVERTED)
    path = inputs.folder / names.VISION_ENCODER_PACKAGE
    facts: dict[str, int | str] = {"buckets": ",".join(map(str, settings.buckets))}
    write_package(path, functions, describe("Pictures to embeddings", plan, facts))
    found = census(path, dict.fromkeys(functions, wanted))
    progress("Wrote the vision encoder", 1.0)
    return Component(
        tuple(_entry_point(vision, bucket) for bucket in settings.buckets),
        layer_groups(names.VISION_ENCODER, wanted, found),
    )


def encoder_signature(vision: VisionGeometry, patches: int) -> Signature:
    """For exactly so many patches, padding included."""
    rope = (patches, vision.head_dim)
    tokens = patches // vision.merge_area
    return Signature(
        names.encode_function(patches),
        (
            TensorSpec(names.PATCHES, "float16", (patches, vision.patch_dim)),
            TensorSpec(names.ROPE_COS, "float16", rope),
            TensorSpec(names.ROPE_SIN, "float16", rope),
            TensorSpec(names.KEY_MASK, "float16", (patches,)),
        ),
        TensorSpec(names.IMAGE_EMBEDDINGS, "float16", (tokens, vision.output_size)),
    )


def _entry_point(vision: VisionGeometry, patches: int) -> EntryPoint:
    signature = encoder_signature(vision, patches)
    return EntryPoint(
        name=names.VISION_ENCODER,
        file=names.VISION_ENCODER_PACKAGE,
        method=signature.name,
        patches=patches,
        inputs=signature.inputs,
        outputs=(signature.output,),
    )
