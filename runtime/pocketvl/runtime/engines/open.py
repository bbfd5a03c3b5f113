"""The engine that a bundle's target needs, and what can be checked of its files without one."""

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import BundleError


def open_engine(bundle: Bundle, threads: int | None = None) -> Engine:
    """Nothing is loaded yet. Core ML bundles are evaluated in numpy, on macOS as elsewhere. `threads` sizes
    ExecuTorch's or onnxruntime's pool; numpy chooses for itself.

    Raises BundleError for a target that this pocketvl cannot run, MissingExtraError, EngineError.
    """
    match bundle.manifest.target:
        case names.EXECUTORCH:
            from pocketvl.runtime.engines.executorch import open_executorch

            return open_executorch(bundle, threads)
        case names.COREML:
            from pocketvl.runtime.engines.coreml.engine import open_coreml

            return open_coreml(bundle)
        case names.ONNX:
            from pocketvl.runtime.engines.onnx.engine import open_onnx

            return open_onnx(bundle, threads)
        case other:
            raise BundleError(f"{bundle.folder} is a bundle for {other!r}, which this pocketvl cannot run.")


def check_artifacts(bundle: Bundle) -> None:
    """Refuse a bundle that cannot be used as its target's other readers would. Raises BundleError."""
    if bundle.manifest.target == names.ONNX:
        from pocketvl.runtime.engines.onnx.variants import check_variants

        check_variants(bundle.folder)
