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
        _check(target)
    return chosen


def exporters_for(target: str) -> "Exporters":
    """What writes bundles for a target. Raises UsageError for an unknown one."""
    from pocketvl.export.coreml.exporters import coreml_exporters
    from pocketvl.export.onnx.exporters import onnx_exporters
    from pocketvl.export.pipeline import Exporters

    _check(target)
    makers = {names.COREML: coreml_exporters, names.ONNX: onnx_exporters, names.EXECUTORCH: Exporters}
    return makers[target]()


def _check(target: str) -> None:
    if target not in names.TARGETS:
        raise UsageError(f"{target!r} is no target; known are {', '.join(names.TARGETS)}.")
