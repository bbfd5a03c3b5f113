"""What the whole export calls for `--target onnx`."""

from pocketvl.export.component import ExportSettings
from pocketvl.export.onnx._onnx import import_onnx
from pocketvl.export.onnx.estimate import estimate_onnx, stored_bytes
from pocketvl.export.onnx.folder import write_folder_files
from pocketvl.export.onnx.text import export_text_onnx
from pocketvl.export.onnx.vision import export_vision_onnx
from pocketvl.export.pipeline import Exporters
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.geometry import ModelGeometry

_COLUMNS = 16  # the smallest block that onnxruntime multiplies and looks up


def onnx_exporters() -> Exporters:
    """Exporters for pipeline.export_bundle."""
    return Exporters(
        vision=export_vision_onnx,
        text=export_text_onnx,
        target=names.ONNX,
        tools=("torch", "onnx", "onnxscript"),
        estimate=estimate_onnx,
        stored=stored_bytes,
        check=_check,
        finish=write_folder_files,
    )


def _check(settings: ExportSettings, geometry: ModelGeometry, _: Recipe) -> None:
    import_onnx()
    settings.check_one_decoder()
    width = geometry.text.hidden_size
    if width % _COLUMNS:
        raise UsageError(
            f"The model's hidden size {width} is not a multiple of {_COLUMNS}, which onnxruntime's quantized"
            " tables need; export it for executorch."
        )
