"""The targets that a command names."""

from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError


def chosen_targets(targets: list[str] | None) -> list[str]:
    """Each once, executorch if none is named. Raises UsageError."""
    chosen = list(dict.fromkeys(targets or [names.EXECUTORCH]))
    if unknown := [target for target in chosen if target not in names.TARGETS]:
        raise UsageError(f"{unknown[0]!r} is no target; known are {', '.join(names.TARGETS)}.")
    return chosen
