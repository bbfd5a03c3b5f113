"""Long commands work in a process of their own; this one waits, and ends that one when a signal comes.

Python runs a signal's handler between two of its own instructions, which native code can delay by minutes,
and an exception that the handler raises is lost where foreign code catches it (torch.export, a weakref's
callback). So there is no handler and no exception:

    pocketvl export ...                      waits in sigwait
      └─ python -m pocketvl.cli.worker ...   leads a process group; all that it starts belong to it

SIGINT, SIGTERM or SIGHUP: the group is killed, what it had begun is removed (export/leftovers.py), and this
process says so and leaves with 128 + the signal's number. If this process is killed, the group ends with its
leader's stdin, and the next long command removes what was begun.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from pocketvl.export.bundle.leftovers import SCRATCH, scratch_folder
from pocketvl.runtime.child_process import start_child

_ENDING = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
_GONE_WITHIN = 2.0  # seconds for a killed group to disappear


def supervise(words: Sequence[str]) -> int:
    """Run the command line `words` in a worker; returns the exit status."""
    # One that is ignored, as nohup does with SIGHUP, stays ignored.
    heeded = {n for n in (*_ENDING, signal.SIGTSTP) if signal.getsignal(n) != signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*heeded, signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, lambda *_: None)  # sigwait need not see a signal that is ignored
    try:
        with scratch_folder() as scratch:
            environment = os.environ | {"TMPDIR": str(scratch), SCRATCH: str(scratch)}
            child = start_child("pocketvl.cli.worker", words, env=environment, process_group=0)
            try:
                number = _wait(child, {*heeded, signal.SIGCHLD})
            finally:
                if child.returncode is None or child.returncode < 0:  # else it has ended all that it started
                    _kill_group(child)
    except OSError as error:
        _say(f"error: Starting failed ({error}); free memory and space for temporary files, or set TMPDIR.")
        return 1
    if number is not None:
        _say(
            f"Stopped by {_ENDING[number]}; nothing half made is left, and the same command may be run again."
        )
        return 128 + number
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        _say(
            f"error: The command's process was ended by {name}, most likely because memory ran out; close"
            " other programs or choose a smaller model or recipe."
        )
        return 1
    return child.returncode


def _wait(child: "subprocess.Popen[bytes]", signals: set[signal.Signals]) -> signal.Signals | None:
    """Until the child has ended (None) or a signal that ends it has come."""
    while True:
        number = signal.Signals(signal.sigwait(signals))
        if number in _ENDING:
            return number
        if number == signal.SIGTSTP:
            _stop(child)
        elif child.poll() is not None:
            return None


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ctrl-Z: with the group, until `fg` or `bg`."""
    os.killpg(child.pid, signal.SIGSTOP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    os.kill(os.getpid(), signal.SIGTSTP)  # stops here
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
    os.killpg(child.pid, signal.SIGCONT)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    """Returns when no process of it can write any more."""
    end = time.monotonic() + _GONE_WITHIN
    with suppress(OSError):  # no such group: gone
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        while time.monotonic() < end:
            os.killpg(child.pid, 0)
            time.sleep(0.01)
    child.wait()


def _say(sentence: str) -> None:
    with suppress(OSError):
        # A progress bar may have stopped in the middle of its line, with the cursor hidden.
        sys.stderr.write(f"\r\x1b[2K\x1b[?25h{sentence}\n" if sys.stderr.isatty() else f"{sentence}\n")
        sys.stderr.flush()
