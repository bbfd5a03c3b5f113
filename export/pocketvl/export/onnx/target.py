"""ONNX as a target: what it takes, how large its files get, and who writes them."""

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import DISK_EXTRA, Estimate, artifact_bytes
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer, lm_head
from pocketvl.export.onnx.convert import import_onnx
from pocketvl.export.onnx.folder import write_folder_files
from pocketvl.export.onnx.operators import block_size
from pocketvl.export.onnx.text import export_text
from pocketvl.export.onnx.vision import export_vision
from pocketvl.export.target import Target
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError

_COLUMNS = 16  # the smallest block that onnxruntime multiplies and looks up
# Interpreter, libraries and the tracing of 28 layers.
_LIBRARIES = 8 * 10**8
# Bytes a weight of the largest layer: the checkpoint's, its integer, the packed one; float32, half, checked.
_HELD, _HELD_FLOAT = 4, 7


def check(settings: ExportSettings, plan: LayerPlan) -> None:
    """Raises UsageError for several decoders and for widths that do not divide, MissingExtraError."""
    import_onnx()
    settings.check_one_decoder()
    width = plan.geometry.text.hidden_size
    if width % _COLUMNS:
        raise UsageError(
            f"The model's hidden size {width} is not a multiple of {_COLUMNS}, which onnxruntime's quantized"
            " tables need; export it for executorch."
        )


def estimate(plan: LayerPlan, _: ExportSettings) -> Estimate:
    """One layer is in memory at a time."""
    artifacts = artifact_bytes(plan, bytes_of)
    most = max(
        layer.weights * (_HELD_FLOAT if precision.is_float else _HELD) for layer, precision in plan.layers
    )
    # transformers.js has a copy of the table for itself.
    tied = plan.geometry.text.tie_word_embeddings
    precision, copies = (plan.precisions[names.LM_HEAD], 1) if tied else (plan.table_bits, 2)
    artifacts[names.TOKEN_EMBEDDING] = copies * bytes_of(lm_head(plan.geometry.text), precision)
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, _LIBRARIES + most)


def bytes_of(layer: Layer, precision: Precision) -> int:
    """Weight and scales in a data file: a float32 scale for each block."""
    if precision.is_float:
        return layer.weights * precision.bits // 8
    block = block_size(layer.in_features, precision.group_size or layer.in_features)
    blocks = -(-layer.in_features // block)
    return layer.out_features * blocks * (block * precision.bits // 8 + 4)


ONNX = Target(
    name=names.ONNX,
    packages=("torch", "onnx", "onnxscript"),
    check=check,
    estimate=estimate,
    bytes_of=bytes_of,
    export_vision=export_vision,
    export_text=export_text,
    finish=write_folder_files,
)
