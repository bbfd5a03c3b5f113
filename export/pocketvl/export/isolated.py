"""Running steps of an export in processes of their own, so that their memory goes back to the system, or in
a thread beside the work.

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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from pocketvl.runtime.child_process import end_with, start_child, stdin_closes
from pocketvl.runtime.errors import ExportError, PocketVLError
from pocketvl.runtime.quiet import quiet_libraries

T = TypeVar("T")
Report = Callable[[str, float], None]
_Messages = SimpleQueue[tuple[int, str, Any]]  # number of the call, kind, value


@dataclass(frozen=True)
class Call:
    """function(*arguments, report); report's calls reach `progress` in this process.

    function must be importable by its name; arguments and result travel by pickle.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    progress: Report


class Later(Generic[T]):
    """A call in a thread, not needed yet; it begins at once. For calls that let other threads run, as reading
    and hashing do.

    Where the caller fails first, it runs on to its end, or that of the process, and nobody sees its result.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def result(self) -> T:
        """Waits for it; raises what it raised."""
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as failure:
            self._future.set_exception(failure)


def run_isolated(function: Callable[..., T], arguments: tuple[Any, ...], progress: Report) -> T:
    """One call in a new process; see Call and run_together."""
    result: T = run_together([Call(function, arguments, progress)])[0]
    return result


def run_together(calls: Sequence[Call]) -> list[Any]:
    """The calls' results, each made in a process of its own, all at the same time.

    A PocketVLError or OSError of a child is raised here as it is, any other as ExportError with the child's
    traceback in a note. The first failure, Ctrl-C or any exception here ends all children at once.
    """
    messages: _Messages = SimpleQueue()
    with ExitStack() as children:
        processes = [children.enter_context(_child(call)) for call in calls]
        for number, process in enumerate(processes):
            threading.Thread(target=_read, args=(number, process, messages), daemon=True).start()
        results: dict[int, Any] = {}
        while len(results) < len(calls):
            number, kind, value = messages.get()
            if kind == "progress":
                calls[number].progress(*value)
            elif kind == "done":
                results[number] = value
            elif kind == "failed":
                raise value
            else:
                raise _died(processes[number].wait())
    return [results[number] for number in range(len(calls))]


@contextmanager
def _child(call: Call) -> Iterator[subprocess.Popen[bytes]]:
    process = start_child(__name__, stdout=subprocess.PIPE)
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):  # a child that could not start is told by its exit status
            process.stdin.write(pickle.dumps((call.function, call.arguments)))
            process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()


def _read(number: int, process: subprocess.Popen[bytes], messages: _Messages) -> None:
    """The child's messages, until its result or its end."""
    assert process.stdout is not None
    kind = "progress"
    with process.stdout as stream:
        while kind == "progress":
            try:
                kind, value = pickle.load(stream)
            except (EOFError, pickle.UnpicklingError):
                kind, value = "died", None
            messages.put((number, kind, value))


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
