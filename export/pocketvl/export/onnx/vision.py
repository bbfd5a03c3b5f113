"""The vision tower becomes two graphs over one data file: the host's and transformers.js's."""

from pocketvl.export.census import layer_groups
from pocketvl.export.component import Progress
from pocketvl.export.modules import linears
from pocketvl.export.onnx._onnx import import_onnx
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.externalize import external_layers, externalize
from pocketvl.export.onnx.files import data_name, graph_name
from pocketvl.export.onnx.ports import entry_point
from pocketvl.export.onnx.vision_graph import OnnxVisionEncoder
from pocketvl.export.onnx.vision_images import write_images
from pocketvl.export.steps import Steps
from pocketvl.export.target import Component, ExportInputs
from pocketvl.runtime import names

_PLACED = 0.7  # share of the time spent when the weights are written
_CONVERTED = 0.9


def export_vision(inputs: ExportInputs, progress: Progress) -> Component:
    """Write onnx/host_vision_encoder.onnx, onnx/vision_encoder*.onnx and its .onnx_data.

    Any number of patches: settings' buckets bound images in the runtime, not here. Raises CheckpointError,
    RecipeError, CensusError, ExportError, MissingExtraError.
    """
    import_onnx()
    plan, vision = inputs.plan, inputs.plan.geometry.vision
    encoder = OnnxVisionEncoder(plan)
    host = inputs.folder / names.HOST_VISION_ENCODER
    images = host.parent / graph_name(names.VISION_ENCODER, linears(encoder))
    host.parent.mkdir(exist_ok=True)
    count = sum(1 for _ in encoder.parameters())
    steps = Steps(progress, "Quantizing the vision encoder", 0.0, _PLACED, count)
    with DataFile(host.parent / data_name(images.name)) as data:
        externalize(encoder, inputs.source, plan.method, data, steps.next)
    progress("Converting the vision encoder", _PLACED)
    entry = entry_point(names.VISION_ENCODER, names.HOST_VISION_ENCODER, plan.geometry)
    smallest = {"patches": 2 * vision.merge_area}  # one token would be taken for a constant
    write_graph(encoder, entry.inputs, entry.outputs, host, smallest)
    write_images(host, vision, images)
    progress("Checking the vision encoder", _CONVERTED)
    found = census({host: encoder, images: encoder})
    progress("Wrote the vision encoder", 1.0)
    return Component((entry,), layer_groups(names.VISION_ENCODER, external_layers(encoder), found))
