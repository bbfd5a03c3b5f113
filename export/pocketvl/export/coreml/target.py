"""What the whole export calls for `--target coreml`."""

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml._coremltools import import_coremltools
from pocketvl.export.coreml.estimate import estimate_packages, package_bytes
from pocketvl.export.coreml.text import chunk_spans, export_text_packages
from pocketvl.export.coreml.vision import export_vision_package
from pocketvl.export.pipeline import Exporters
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.geometry import ModelGeometry


def coreml_exporters() -> Exporters:
    """Exporters for pipeline.export_bundle."""
    return Exporters(
        vision=export_vision_package,
        text=export_text_packages,
        target=names.COREML,
        tools=("torch", "coremltools"),
        check=_check,
        estimate=estimate_packages,
        stored=package_bytes,
    )


def _check(settings: ExportSettings, geometry: ModelGeometry, _: Recipe) -> None:
    import_coremltools()
    chunk_spans(geometry.text, settings)
