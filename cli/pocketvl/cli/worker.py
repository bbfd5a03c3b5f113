"""`python -m pocketvl.cli.worker`: a long command, as supervise.py starts it."""

import signal
import sys

from pocketvl.runtime.child_process import end_with, stdin_closes


def report_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    """What fails at exit for want of memory is left out: a sentence has said so."""
    if not issubclass(failure.exc_type, MemoryError):
        sys.__unraisablehook__(failure)


def _main() -> None:
    sys.unraisablehook = report_unraisable
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent's is inherited
    # Another process group than the terminal's may still write to it, whatever `stty tostop` says.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    end_with(stdin_closes)
    from pocketvl.cli.main import main

    main(sys.argv[1:])


if __name__ == "__main__":
    _main()
