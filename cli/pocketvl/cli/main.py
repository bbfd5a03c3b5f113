"""`pocketvl`. Long commands work in a process of their own, which this one ends when a signal comes."""

import os
import sys
from collections.abc import Sequence

_LONG = {"export", "recipe", "verify", "bench", "evaluate", "sweep", "demo"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status; `arguments`, if given, in this very process."""
    open_closed_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if not word.startswith("-")), None)
    # Imported here: before anything slow, so that no signal finds this process unprepared.
    if arguments is None and command in _LONG:
        from pocketvl.cli.supervise import supervise

        raise SystemExit(supervise(words))
    from pocketvl.cli.app import run

    run(words)


def open_closed_streams() -> None:
    """Started as `2>&-` Python has None for the stream, which libraries write to without a look."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
