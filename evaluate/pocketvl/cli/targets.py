"""The targets that a command names, and what writes their bundles."""

from typing import TYPE_CHECKING

from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError

if TYPE_CHECKING:
    from pocketvl.export.pipeline import Exporters


def chosen_targets(targets: list[str] | None) -> list[str]:
    """Each once, executorch if none is named. Raises UsageError."""
    chosen = list(dict.fromkeys(targets or [names.EXECUTORCH]))
    for target in chosen:
        if target not in names.TARGETS:
            raise UsageError(f"{target!r} is no target; known are {', '.join(names.TARGETS)}.")
    return chosen


def exporters_for(target: str) -> "Exporters":
    """What writes bundles for a target. Raises UsageError for an unknown one."""
    from pocketvl.export.coreml.exporters import coreml_exporters
    from pocketvl.export.onnx.exporters import onnx_exporters
    from pocketvl.export.pipeline import Exporters

    match target:
        case names.COREML:
            return coreml_exporters()
        case names.ONNX:
            return onnx_exporters()
        case names.EXECUTORCH:
            return Exporters()
        case _:
            raise UsageError(f"{target!r} is no target; known are {', '.join(names.TARGETS)}.")
