"""The three targets by their names: the only module that imports them, each when it is asked for."""

from pocketvl.export.target import Target
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError


def target_for(name: str) -> Target:
    """What writes bundles for "executorch", "coreml" or "onnx". Raises UsageError for another name."""
    match name:
        case names.EXECUTORCH:
            from pocketvl.export.executorch.target import EXECUTORCH

            return EXECUTORCH
        case names.COREML:
            from pocketvl.export.coreml.target import COREML

            return COREML
        case names.ONNX:
            from pocketvl.export.onnx.target import ONNX

            return ONNX
        case _:
            raise UsageError(f"{name!r} is no target; known are {', '.join(names.TARGETS)}.")
