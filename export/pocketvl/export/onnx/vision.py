"""The vision tower becomes two graphs over one data file: the host's and transformers.js's."""

from pathlib import Path

from pocketvl.export.component import Component, ExportSettings, Progress, TensorSource
from pocketvl.export.layer_groups import layer_groups
from pocketvl.export.modules import linears
from pocketvl.export.onnx._onnx import import_onnx
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.expected import stored_layers
from pocketvl.export.onnx.externalize import expected, place
from pocketvl.export.onnx.files import data_name, graph_name
from pocketvl.export.onnx.ports import entry_point
from pocketvl.export.onnx.vision_graph import OnnxVisionEncoder
from pocketvl.export.onnx.vision_pictures import write_pictures
from pocketvl.export.steps import Steps
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names

_PLACED = 0.7  # share of the time spent when the weights are written
_CONVERTED = 0.9


def export_vision_onnx(
    source: TensorSource, recipe: Recipe, settings: ExportSettings, folder: Path, progress: Progress
) -> Component:
    """Write onnx/host_vision_encoder.onnx, onnx/vision_encoder*.onnx and its .onnx_data into a folder.

    Any number of patches: settings' buckets bound pictures in the runtime, not here. Raises CheckpointError,
    RecipeError, CensusError, ExportError, MissingExtraError.
    """
    import_onnx()
    vision = source.geometry.vision
    encoder = OnnxVisionEncoder(vision, recipe)
    host = folder / names.HOST_VISION_ENCODER
    pictures = host.parent / graph_name(names.VISION_ENCODER, linears(encoder))
    host.parent.mkdir(exist_ok=True)
    count = sum(1 for _ in encoder.parameters())
    steps = Steps(progress, "Quantizing the vision encoder", 0.0, _PLACED, count)
    with DataFile(host.parent / data_name(pictures.name)) as data:
        place(encoder, source, recipe.method, data, steps.next)
    progress("Converting the vision encoder", _PLACED)
    entry = entry_point(names.VISION_ENCODER, names.HOST_VISION_ENCODER, source.geometry)
    smallest = {"patches": 2 * vision.merge_area}  # one token would be taken for a constant
    write_graph(encoder, entry.inputs, entry.outputs, host, smallest)
    write_pictures(host, vision, pictures)
    progress("Checking the vision encoder", _CONVERTED)
    census({host: encoder, pictures: encoder})
    progress("Wrote the vision encoder", 1.0)
    layers = layer_groups(names.VISION_ENCODER, stored_layers(expected(encoder)))
    return Component((entry,), layers)
