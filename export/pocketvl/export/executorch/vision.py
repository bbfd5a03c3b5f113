"""Qwen2-VL's vision tower becomes vision_encoder.pte: XNNPACK delegates, and the graph that calls them.

Each is filled with weights, lowered and let go of before the next, so that one block is in memory at a time
beside what was written.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from pocketvl.export import modules
from pocketvl.export.census import Expected, layer_groups
from pocketvl.export.estimate import component_cost, filling_weights
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.constants import Fill, Stored, Written, stored_linears
from pocketvl.export.executorch.operators import AttentionOutline, HeadByHeadAttention, attention_inputs
from pocketvl.export.executorch.vision_graph import Merger, Positions, VisionBlock, key_bias
from pocketvl.export.executorch.xnnpack import Stencil, Stencils, calling_program, lower
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import fill
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_vision
from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.errors import UsageError

# Of tracing, that are done when the first graphs are written; most of it, attention, is done before.
_TRACING_SHARES = (0.75, 0.25)


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
    cost = component_cost(names.EXECUTORCH, names.VISION_ENCODER, plan.geometry, settings)
    # The first half of lowering is the last kinds of graphs, and the graph that calls them all.
    seconds = cost.trace + cost.quantize, cost.lower / 2, cost.lower / 2, cost.check
    filling, _, writing, checking = parts(progress, seconds)
    weights = filling_weights(cost, plan.sizes(names.VISION_ENCODER), _TRACING_SHARES)
    steps, graphs = Steps(filling, "Lowering the vision encoder", weights), count()
    wanted: list[Expected] = []

    def filled(graph: nn.Module) -> Stored:
        fill(graph, inputs.source, plan.method)
        stored = stored_linears(graph)
        wanted.extend(expected(stored))
        return stored

    def written(stored: Stored) -> None:
        steps.next(f"graph {next(graphs)}")
        for leaf in stored:
            steps.next(leaf.layer)

    entries = tuple(pte_vision(vision, size) for size in sizes)
    programs = lower_encoder(plan, settings.buckets[-1], sizes, filled, written)
    lower(dict(zip((entry.method for entry in entries), programs, strict=True)), {}, path, writing)
    checking("Checking the vision encoder", 0.0)
    found = census(path, {entry.method: tuple(wanted) for entry in entries})
    groups = layer_groups(names.VISION_ENCODER, wanted, found)
    progress("Wrote the vision encoder", 1.0)
    return Component(entries, groups)


class LoweredEncoder(nn.Module):
    """VisionEncoder (see vision_graph.py) with delegates in the place of all its arithmetic but norms."""

    def __init__(
        self, embed: nn.Module, blocks: list["LoweredBlock"], norm: nn.Module, merger: nn.Module
    ) -> None:
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(blocks)
        self.norm, self.merger = norm, merger

    def forward(
        self, patches: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *key_mask: torch.Tensor
    ) -> torch.Tensor:
        hidden, q_cos, q_sin = self.embed(patches, cos, sin)
        positions = [q_cos, q_sin, cos, sin, *(key_bias(mask) for mask in key_mask)]
        for block in self.layers:
            hidden = block(hidden, positions)
        embeddings: torch.Tensor = self.merger(self.norm(hidden))[0]
        return embeddings


class LoweredBlock(nn.Module):
    """VisionBlock, likewise."""

    def __init__(
        self,
        norms: tuple[nn.Module, nn.Module],
        heads: nn.Module,
        attention: nn.Module,
        project: nn.Module,
        mlp: nn.Module,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norms
        self.heads, self.attention, self.project, self.mlp = heads, attention, project, mlp

    def forward(self, hidden: torch.Tensor, positions: list[torch.Tensor]) -> torch.Tensor:
        (heads,) = self.heads(self.norm1(hidden))
        attended = self.attention(*heads.split(1), *positions)[0]
        hidden = self.project(attended, hidden)[0]
        finished: torch.Tensor = self.mlp(self.norm2(hidden), hidden)[0]
        return finished


class Embed(nn.Module):
    """Patches to embeddings, and the positions that all blocks share."""

    def __init__(self, patch_embed: nn.Module, vision: VisionGeometry) -> None:
        super().__init__()
        self.patch_embed, self.positions = patch_embed, Positions(vision)

    def forward(
        self, patches: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        q_cos, q_sin, _, _ = self.positions(cos, sin)
        return self.patch_embed(patches), q_cos, q_sin


class _Outline(nn.Module):
    """The shapes of a graph without its work."""

    def __init__(self, vision: VisionGeometry) -> None:
        super().__init__()
        self.vision = vision


class _EmbedOutline(_Outline):
    def forward(
        self, patches: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        hidden = patches[:, :1].expand(-1, self.vision.hidden_size).clone()
        return hidden, cos.clone(), sin.clone()


class _HeadsOutline(_Outline):
    def forward(self, normed: torch.Tensor) -> tuple[torch.Tensor]:
        heads, size = 3 * self.vision.num_heads, self.vision.head_dim
        return (normed[None, :, :1].expand(heads, -1, size).clone(),)


class _SameOutline(_Outline):
    def forward(self, first: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        return (hidden.clone(),)


class _MergerOutline(_Outline):
    def forward(self, normed: torch.Tensor) -> tuple[torch.Tensor]:
        rows = normed.view(-1, self.vision.merge_area * self.vision.hidden_size)
        return (rows[:, :1].expand(-1, self.vision.output_size).clone(),)


class _Writer:
    """Writes what is lowered for one range of patches, or for exactly so many."""

    def __init__(self, vision: VisionGeometry, largest: int, size: int | None) -> None:
        # 1 token would be taken for a constant, so the trace has 2 where the length is dynamic.
        count = size or min(2 * vision.merge_area, largest)
        length = None if size is not None else _multiple(vision.merge_area, largest)
        rows, masked = _along(0, length), size is not None
        rope = torch.zeros(count, vision.head_dim)
        mask = [torch.ones(count)] if masked else []
        self.example = (torch.zeros(count, vision.patch_dim), rope, rope.clone(), *mask)
        self.shapes = (rows, rows, rows, (rows,)) if masked else (rows, rows, rows)
        hidden = torch.zeros(count, vision.hidden_size)
        self.embed = Stencils(_EmbedOutline(vision), self.example[:3], self.shapes[:3])
        self.heads = Stencils(_HeadsOutline(vision), (hidden,), (rows,))
        self.project = Stencils(
            _SameOutline(vision), (hidden[None].clone(), hidden), (_along(1, length), rows)
        )
        self.mlp = Stencils(_SameOutline(vision), (hidden, hidden.clone()), (rows, rows))
        self.merger = Stencils(_MergerOutline(vision), (hidden,), (rows,))
        heads = [_along(1, length)] * (3 * vision.num_heads)
        attention, inputs = HeadByHeadAttention(vision), attention_inputs(vision, count, masked)
        shapes = {"tensors": (*heads, *[rows] * (5 if masked else 4))}
        self._attention = Stencil(attention, AttentionOutline(vision), inputs, shapes).write(attention, {})
        self._embedded: nn.Module | None = None
        self._blocks: list[LoweredBlock] = []

    def add(self, graph: nn.Module, stored: Stored) -> None:
        """The next of the graphs, filled: Embed, blocks in their order, Merger."""
        if isinstance(graph, Embed):
            self._embedded = self.embed.write(graph, stored)
        elif isinstance(graph, VisionBlock):
            heads = self.heads.write(graph.heads, stored)
            project = self.project.write(graph.project, stored)
            mlp = self.mlp.write(graph.mlp, stored)
            norms = graph.norm1, graph.norm2
            self._blocks.append(LoweredBlock(norms, heads, self._attention, project, mlp))
        elif isinstance(graph, Merger):
            assert self._embedded is not None
            merger = self.merger.write(graph.mlp, stored)
            self._encoder = LoweredEncoder(self._embedded, self._blocks, graph.norm, merger)

    def program(self) -> ExportedProgram:
        """All of it."""
        return calling_program(self._encoder, 0, self.example, self.shapes)


def lower_encoder(
    plan: LayerPlan, largest: int, sizes: Sequence[int | None], fill: Fill, written: Written
) -> list[ExportedProgram]:
    """For each of `sizes` a program: None for merge_area..largest patches, else exactly so many with a key
    mask. fill: gives a graph's leaves their weights, and says how they are stored; called with one graph
    after the other. written: called when a graph's layers have been."""
    vision = plan.geometry.vision
    writers = [_Writer(vision, largest, size) for size in sizes]
    for graph in _graphs(plan):
        stored = fill(graph)
        for writer in writers:
            writer.add(graph, stored)
        written(stored)
        del graph, stored  # before the next is filled
    return [writer.program() for writer in writers]


def _graphs(plan: LayerPlan) -> Iterator[nn.Module]:
    """The encoder in parts, of which one at a time need be in memory."""
    vision = plan.geometry.vision
    yield Embed(modules.patch_embed(plan), vision)
    for index in range(vision.depth):
        yield VisionBlock(modules.vision_block(plan, index), vision, nn.Identity())
    yield Merger(modules.merger(plan), vision)


def _multiple(merge_area: int, largest: int) -> Any:
    """torch's description of the lengths merge_area, 2 * merge_area, .. largest; None for a single length."""
    if largest == merge_area:
        return None
    tokens = Dim("tokens", min=1, max=largest // merge_area)
    return tokens if merge_area == 1 else merge_area * tokens


def _along(axis: int, length: Any) -> dict[int, Any] | None:
    return None if length is None else {axis: length}
