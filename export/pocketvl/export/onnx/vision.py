"""The vision tower becomes two graphs over one data file: the host's and transformers.js's.

Attention is fused; forms and their speed: docs/decisions/0010-onnx.md. The graph of transformers.js takes any
number of images and videos in one call and makes positions from their grids: a loop runs the tower of the
host's graph over all temporal slices of all images. Attention never leaves a slice, so it needs no mask, and
one slice at a time is in memory.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.census import layer_groups
from pocketvl.export.estimate import component_cost
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import MergerParts, VisionBlockParts, linears
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import OPSET, import_onnx, write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.folder import data_name, graph_name
from pocketvl.export.onnx.operators import emit, split
from pocketvl.export.onnx.weights import external_layers, externalize
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import leaf_sizes
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import host_graph
from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.positions import vision_frequencies

Angles = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # cosines and sines (N, head_dim / 2), the first row
# Tower stands for all nodes of the host's graph. Rows of pixel_values come in the merger's order:
# (rows / merge, columns / merge, merge, merge).
_IMAGES_GRAPH = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
main (float[patches, {patch_dim}] pixel_values, int64[images, 3] grid_thw)
  => (float[tokens, {output}] image_features)
{{
  zero = Constant <value_int = 0> ()
  one = Constant <value_int = 1> ()
  two = Constant <value_int = 2> ()
  first_axis = Constant <value_ints = [0]> ()
  row_blocks = Constant <value_ints = [-1, 1, {merge}, 1]> ()
  column_blocks = Constant <value_ints = [1, -1, 1, {merge}]> ()
  upright = Constant <value_ints = [-1, 1]> ()
  no_rows = Constant <value_ints = [0, {output}]> ()
  none_yet = ConstantOfShape <value = float[1] {{0}}> (no_rows)
  slices_of_each = Gather <axis = 1> (grid_thw, zero)
  ended_after = CumSum (slices_of_each, zero)
  slices = ReduceSum <keepdims = 0> (slices_of_each)
  patches_read, image_features = Loop (slices, , zero, none_yet) <body = one_slice
    (int64 slice, bool go_on, int64 from, float[tokens_before, {output}] before)
    => (bool go_on_after, int64 to, float[tokens_after, {output}] after)
  {{
    go_on_after = Identity (go_on)
    has_ended = LessOrEqual (ended_after, slice)
    images_ended = Cast <to = 7> (has_ended)
    image = ReduceSum <keepdims = 0> (images_ended)
    grid = Gather (grid_thw, image)
    row_count = Gather (grid, one)
    column_count = Gather (grid, two)
    patch_count = Mul (row_count, column_count)
    to = Add (from, patch_count)
    slice_start = Unsqueeze (from, first_axis)
    slice_end = Unsqueeze (to, first_axis)
    patches = Slice (pixel_values, slice_start, slice_end)

    row_numbers = Range (zero, row_count, one)
    column_numbers = Range (zero, column_count, one)
    rows_apart = Reshape (row_numbers, row_blocks)
    columns_apart = Reshape (column_numbers, column_blocks)
    no_row = Mul (rows_apart, zero)
    no_column = Mul (columns_apart, zero)
    rows_everywhere = Add (rows_apart, no_column)
    columns_everywhere = Add (columns_apart, no_row)
    row_list = Reshape (rows_everywhere, upright)
    column_list = Reshape (columns_everywhere, upright)
    rows = Cast <to = 1> (row_list)
    columns = Cast <to = 1> (column_list)
    row_angles = Mul (rows, frequencies)
    column_angles = Mul (columns, frequencies)
    angles = Concat <axis = 1> (row_angles, column_angles, row_angles, column_angles)
    rope_cos = Cos (angles)
    rope_sin = Sin (angles)

    image_embeddings = Tower (patches, rope_cos, rope_sin)
    after = Concat <axis = 0> (before, image_embeddings)
  }}>
}}
"""


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
    cost = component_cost(names.ONNX, names.VISION_ENCODER, plan.geometry, inputs.settings)
    quantizing, _, converting, checking = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the vision encoder", leaf_sizes(encoder))
    with DataFile(host.parent / data_name(images.name)) as data:
        externalize(encoder, inputs.source, plan.method, data, steps.next)
    converting("Converting the vision encoder", 0.0)
    entry = host_graph(names.VISION_ENCODER, names.HOST_VISION_ENCODER, plan.geometry)
    smallest = {"patches": 2 * vision.merge_area}  # one token would be taken for a constant
    write_graph(encoder, entry.inputs, entry.outputs, host, smallest)
    converting("Converting the vision encoder for transformers.js", 0.9)
    write_images(host, vision, images)
    checking("Checking the vision encoder", 0.0)
    found = census({host: encoder, images: encoder})
    progress("Wrote the vision encoder", 1.0)
    return Component((entry,), layer_groups(names.VISION_ENCODER, external_layers(encoder), found))


def write_images(host: Path, vision: VisionGeometry, path: Path) -> None:
    """Wrap the saved graph of one slice, over the same data files: both files must be in one folder.

    pixel_values float32 (patches, patch_dim), grid_thw int64 (images, 3) as slices, rows and columns of
    patches; gives image_features float32 (tokens, output_size), an image after the other. Raises OSError.
    """
    onnx = import_onnx()
    tower = onnx.load(host, load_external_data=False)
    model = onnx.parser.parse_model(
        _IMAGES_GRAPH.format(
            ir_version=tower.ir_version,
            opset=OPSET,
            patch_dim=vision.patch_dim,
            output=vision.output_size,
            merge=vision.spatial_merge_size,
        )
    )
    _put_in(_body(model.graph), tower.graph.node)
    # They stand outside of the loop, where onnxruntime prepares weights once.
    model.graph.initializer.extend(tower.graph.initializer)
    frequencies = vision_frequencies(vision)
    model.graph.initializer.append(onnx.numpy_helper.from_array(frequencies, "frequencies"))
    del model.opset_import[:]
    model.opset_import.extend(tower.opset_import)
    model.producer_name, model.producer_version = tower.producer_name, tower.producer_version
    onnx.save(model, path)


def _body(graph: Any) -> Any:
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    return loop.attribute[0].g


def _put_in(body: Any, tower: Any) -> None:
    """Replace the node Tower by the tower's nodes, whose ends have the names that stand there."""
    (index,) = (index for index, node in enumerate(body.node) if node.op_type == "Tower")
    after = list(body.node)[index + 1 :]
    del body.node[index:]
    body.node.extend([*tower, *after])
