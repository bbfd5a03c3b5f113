"""The graph of transformers.js: any number of pictures and videos in one call, positions from their grids.

A loop runs the tower of the host's graph over all temporal slices of all pictures. Attention never leaves a
slice, so it needs no mask, and one slice at a time is in memory.
"""

from pathlib import Path
from typing import Any

from pocketvl.export.onnx._onnx import import_onnx
from pocketvl.export.onnx.convert import OPSET
from pocketvl.runtime.geometry import VisionGeometry
from pocketvl.runtime.positions import vision_frequencies

PIXEL_VALUES = "pixel_values"
GRID_THW = "grid_thw"
IMAGE_FEATURES = "image_features"

# Tower stands for all nodes of the host's graph. Rows of pixel_values come in the merger's order:
# (rows / merge, columns / merge, merge, merge).
_PICTURES = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
main (float[patches, {patch_dim}] pixel_values, int64[pictures, 3] grid_thw)
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
    pictures_ended = Cast <to = 7> (has_ended)
    picture = ReduceSum <keepdims = 0> (pictures_ended)
    grid = Gather (grid_thw, picture)
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


def write_images(host: Path, vision: VisionGeometry, path: Path) -> None:
    """Wrap the saved graph of one slice, over the same data files: both files must be in one folder.

    pixel_values float32 (patches, patch_dim), grid_thw int64 (pictures, 3) as slices, rows and columns of
    patches; gives image_features float32 (tokens, output_size), a picture after the other. Raises OSError.
    """
    onnx = import_onnx()
    tower = onnx.load(host, load_external_data=False)
    model = onnx.parser.parse_model(
        _PICTURES.format(
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
