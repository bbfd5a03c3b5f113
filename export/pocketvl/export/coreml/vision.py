"""The vision tower becomes vision_encoder.mlpackage."""

from pathlib import Path

from pocketvl.export.component import Component, ExportSettings, TensorSource
from pocketvl.export.coreml.census import census, expected, stored_layers
from pocketvl.export.coreml.describe import describe
from pocketvl.export.coreml.function import Signature, build_function
from pocketvl.export.coreml.package import write_package
from pocketvl.export.coreml.placeholders import prepare
from pocketvl.export.coreml.vision_graph import HalfVisionEncoder
from pocketvl.export.cost import component_cost
from pocketvl.export.layer_groups import layer_groups
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.weights import leaf_sizes
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.entry_points import package_vision


def export_vision_package(
    source: TensorSource, recipe: Recipe, settings: ExportSettings, folder: Path, progress: Progress
) -> Component:
    """Write vision_encoder.mlpackage into an existing folder: one function a bucket, weights stored once.

    Raises CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    vision = source.geometry.vision
    encoder = HalfVisionEncoder(vision, recipe)
    cost = component_cost(names.COREML, names.VISION_ENCODER, source.geometry, recipe, settings)
    quantizing, _, converting, writing = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the vision encoder", leaf_sizes(encoder))
    weights = prepare(encoder, source, recipe.method, steps.next)
    wanted = expected(weights.values())
    entries = tuple(package_vision(vision, bucket) for bucket in settings.buckets)
    functions = {}
    for index, entry in enumerate(entries):
        converting(f"Converting the vision encoder for {entry.patches} patches", index / len(entries))
        functions[entry.method] = build_function(encoder, Signature.of(entry), weights)
    writing("Writing the vision encoder", 0.0)
    path = folder / names.VISION_ENCODER_PACKAGE
    facts: dict[str, int | str] = {"buckets": ",".join(map(str, settings.buckets))}
    write_package(path, functions, describe("Pictures to embeddings", source.geometry, recipe, facts))
    census(path, dict.fromkeys(functions, wanted))
    progress("Wrote the vision encoder", 1.0)
    return Component(
        entries,
        layer_groups(names.VISION_ENCODER, stored_layers(wanted)),
    )
