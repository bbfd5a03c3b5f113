"""The engine that a bundle's target needs."""

from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import BundleError


def open_engine(bundle: Bundle, threads: int | None = None) -> Engine:
    """Nothing is loaded yet. `threads` sizes ExecuTorch's or onnxruntime's pool; Core ML and numpy choose for
    themselves.

    Raises BundleError for a target that this pocketvl cannot run, MissingExtraError, EngineError.
    """
    match bundle.manifest.target:
        case names.EXECUTORCH:
            from pocketvl.runtime.executorch_engine import ExecuTorchEngine

            return ExecuTorchEngine(bundle, threads)
        case names.COREML:
            from pocketvl.runtime.coreml_engine import CoreMLEngine

            return CoreMLEngine(bundle)
        case names.ONNX:
            from pocketvl.runtime.onnx_engine import OnnxEngine

            return OnnxEngine(bundle, threads)
        case other:
            raise BundleError(f"{bundle.folder} is a bundle for {other!r}, which this pocketvl cannot run.")
