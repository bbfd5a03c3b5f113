"""Qwen2-VL's vision tower becomes vision_encoder.pte.

Wang et al., "Qwen2-VL" (2024), section 2.1: a vision transformer with two-dimensional rotary positions.
One call takes one still image or one temporal slice of a video.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from pocketvl.export import modules
from pocketvl.export.census import layer_groups
from pocketvl.export.estimate import component_cost
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.operators import (
    AttentionOutline,
    HeadByHeadAttention,
    attention_inputs,
)
from pocketvl.export.executorch.xnnpack import lower, prelower
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import fill, leaf_sizes
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_vision
from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.errors import UsageError

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


def export_vision(inputs: ExportInputs, progress: Progress) -> Component:
    """Write vision_encoder.pte.

    One method for 1..largest bucket patches, or with vision_shapes "buckets" one a bucket. Raises UsageError
    for a bucket that is no whole number of tokens, CheckpointError, RecipeError, CensusError.
    """
    plan, settings, vision = inputs.plan, inputs.settings, inputs.plan.geometry.vision
    for bucket in settings.buckets:
        if bucket % vision.merge_area:
            raise UsageError(
                f"--buckets: {bucket} patches are no whole number of tokens; this model needs multiples of"
                f" {vision.merge_area}."
            )
    path = inputs.folder / names.VISION_ENCODER_PTE
    sizes: tuple[int | None, ...] = settings.buckets if settings.vision_shapes == "buckets" else (None,)
    encoder = VisionEncoder(plan)
    cost = component_cost(names.EXECUTORCH, names.VISION_ENCODER, plan.geometry, settings)
    quantizing, tracing, lowering, checking = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the vision encoder", leaf_sizes(encoder))
    fill(encoder, inputs.source, plan.method, steps.next)
    wanted = expected(encoder)
    entries = tuple(pte_vision(vision, size) for size in sizes)
    programs = {}
    for index, entry in enumerate(entries):
        tracing("Tracing the vision encoder", index / len(entries))
        programs[entry.method] = trace_encoder(encoder, vision, settings.buckets[-1], entry.patches)
    del encoder  # the programs hold the weights now, and lowering lets go of them piece by piece
    lower(programs, {}, path, lowering)
    checking("Checking the vision encoder", 0.0)
    found = census(path, {entry.method: wanted for entry in entries})
    groups = layer_groups(names.VISION_ENCODER, wanted, found)
    progress("Wrote the vision encoder", 1.0)
    return Component(entries, groups)


def trace_encoder(
    encoder: VisionEncoder, vision: VisionGeometry, largest: int, size: int | None
) -> ExportedProgram:
    """The encoder for merge_area..largest patches, or for exactly `size` with a key mask.

    Puts attention lowered for those shapes into the encoder.
    """
    # 1 token would be taken for a constant, so the trace has 2 where the length is dynamic.
    count = size or min(2 * vision.merge_area, largest)
    masked = size is not None
    length = None if masked else _multiple(vision.merge_area, largest)
    attention = prelower(
        HeadByHeadAttention(vision),
        AttentionOutline(vision),
        attention_inputs(vision, count, masked),
        {"tensors": _attention_shapes(vision, length, masked)},
    )
    for block in encoder.blocks:
        block.attention = attention
    example = [
        torch.zeros(count, vision.patch_dim),
        torch.zeros(count, vision.head_dim),
        torch.zeros(count, vision.head_dim),
    ]
    if masked:
        example.append(torch.ones(count))
    shapes = tuple(_along(0, length) for _ in example)
    with torch.no_grad():
        return torch.export.export(encoder, tuple(example), dynamic_shapes=shapes, strict=False)


def _multiple(merge_area: int, largest: int) -> Any:
    """torch's description of the lengths merge_area, 2 * merge_area, .. largest; None for a single length."""
    if largest == merge_area:
        return None
    tokens = Dim("tokens", min=1, max=largest // merge_area)
    return tokens if merge_area == 1 else merge_area * tokens


def _attention_shapes(vision: VisionGeometry, length: Any, masked: bool) -> tuple[Any, ...]:
    heads = [_along(1, length)] * (3 * vision.num_heads)
    return (*heads, *[_along(0, length)] * (5 if masked else 4))


def _along(axis: int, length: Any) -> dict[int, Any] | None:
    return None if length is None else {axis: length}
