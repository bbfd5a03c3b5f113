"""Running one step of an export in a process of its own, so that its memory goes back to the system.

parent -> child's stdin    the pickled call; then held open: its end tells the child that the parent died
child's stdout -> parent   pickled pairs: ("progress", (step, share)), ("done", result), ("failed", error)
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

from pocketvl.export.child_process import end_with, start_child, stdin_closes
from pocketvl.runtime.errors import ExportError, PocketVLError
from pocketvl.runtime.quiet import quiet_libraries

T = TypeVar("T")
Report = Callable[[str, float], None]


def run_isolated(function: Callable[..., T], arguments: tuple[Any, ...], progress: Report) -> T:
    """function(*arguments, report) in a new process; report's calls reach `progress` here.

    function must be importable by its name; arguments and result travel by pickle. A PocketVLError or
    OSError of the child is raised here as it is, any other as ExportError with the child's traceback in a
    note. Ctrl-C or any exception here ends the child at once.
    """
    process = start_child(__name__, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(BrokenPipeError):  # a child that could not start is told by its exit status
            process.stdin.write(pickle.dumps((function, arguments)))
            process.stdin.flush()
        result: T = _result(process, process.stdout, progress)
        return result
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()


def _result(process: subprocess.Popen[bytes], messages: IO[bytes], progress: Report) -> Any:
    while True:
        try:
            kind, value = pickle.load(messages)
        except (EOFError, pickle.UnpicklingError):
            raise _died(process.wait()) from None
        if kind == "progress":
            progress(*value)
        elif kind == "failed":
            raise value
        else:
            return value


def _died(status: int) -> ExportError:
    if status == -signal.SIGKILL:
        return ExportError(
            "The export's process was killed, most likely because memory ran out; close other programs,"
            " choose a smaller recipe or add swap."
        )
    return ExportError(f"The export's process ended early with status {status}; its messages are above.")


def _main() -> None:
    """The child's side."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with messages
    lock = threading.Lock()

    def send(kind: str, value: object) -> None:
        with lock:
            channel.write(pickle.dumps((kind, value)))
            channel.flush()

    function, arguments = pickle.load(sys.stdin.buffer)
    end_with(stdin_closes)
    try:
        result = function(*arguments, lambda step, share: send("progress", (step, share)))
    except (PocketVLError, OSError, MemoryError) as error:
        send("failed", error)
    except Exception as error:
        wrapped = ExportError(f"The export failed inside a library: {type(error).__name__}: {error}")
        wrapped.add_note(traceback.format_exc())
        send("failed", wrapped)
    else:
        send("done", result)


if __name__ == "__main__":
    quiet_libraries()
    _main()
