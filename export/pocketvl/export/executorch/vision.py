"""Qwen2-VL's vision tower becomes vision_encoder.pte."""

from torch import nn

from pocketvl.export.census import Expected, layer_groups
from pocketvl.export.estimate import component_cost
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.vision_graph import VisionEncoder
from pocketvl.export.executorch.vision_lowering import lower_encoder
from pocketvl.export.executorch.xnnpack import lower
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import fill, leaf_sizes
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_vision
from pocketvl.runtime.errors import UsageError


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
    _, filling, writing, checking = parts(progress, cost.seconds)
    steps = Steps(filling, "Lowering the vision encoder", leaf_sizes(VisionEncoder(plan)))
    wanted: list[Expected] = []

    def filled(graph: nn.Module) -> None:
        fill(graph, inputs.source, plan.method, steps.next)
        wanted.extend(expected(graph))

    entries = tuple(pte_vision(vision, size) for size in sizes)
    programs = lower_encoder(plan, settings.buckets[-1], sizes, filled)
    lower(dict(zip((entry.method for entry in entries), programs, strict=True)), {}, path, writing)
    checking("Checking the vision encoder", 0.0)
    found = census(path, {entry.method: tuple(wanted) for entry in entries})
    groups = layer_groups(names.VISION_ENCODER, wanted, found)
    progress("Wrote the vision encoder", 1.0)
    return Component(entries, groups)
