"""The vision tower becomes vision_encoder.mlpackage."""

from pocketvl.export.census import layer_groups
from pocketvl.export.component import Progress
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.function import Signature, build_function
from pocketvl.export.coreml.metadata import describe
from pocketvl.export.coreml.package import write_package
from pocketvl.export.coreml.placeholders import prepare
from pocketvl.export.coreml.vision_graph import HalfVisionEncoder
from pocketvl.export.modules import linears
from pocketvl.export.steps import Steps
from pocketvl.export.target import Component, ExportInputs
from pocketvl.runtime import names
from pocketvl.runtime.geometry import VisionGeometry
from pocketvl.runtime.manifest import EntryPoint, TensorSpec

_FILLED = 0.3  # share of the time spent when the weights are quantized
_CONVERTED = 0.9


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
