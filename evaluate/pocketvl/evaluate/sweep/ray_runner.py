"""Tasks on a Ray cluster.

The sweep's folder, the model and the data must stand at the same paths on every machine, such as on a shared
file system, and pocketvl must be installed there. Exports write their bundles into the folder; every other
result travels back as data, and the process that runs the sweep alone writes it, once.
"""

import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pocketvl.evaluate.sweep.task import Outcome, Task, attempt
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.extras import import_failure

_RETRIES = 2  # of a task whose worker was lost
_LOCAL = "local"  # Ray's own word for a cluster that is started here
_MOST_SECONDS = 20.0  # to reach a cluster


class RayRunner:
    """One Ray task a task; one whose worker or machine is lost is tried again elsewhere.

    A context manager, which leaves the cluster, or ends it if it was started here.
    """

    def __init__(self, address: str, threads: int) -> None:
        """`address` as ray.init takes it, or `local` to start Ray on this machine; `threads` are a task's
        CPUs.

        Raises MissingExtraError without Ray, PocketVLError if the cluster cannot be reached.
        """
        self._ray = _import_ray()
        self._threads = threads
        try:
            _check_listening(address)
            if address == _LOCAL:
                # Ray's processes end with the thread that starts them, so that must be one that stays.
                _connect(self._ray, address)
            else:
                within(_MOST_SECONDS, lambda: _connect(self._ray, address))
        except Exception as error:
            raise PocketVLError(
                f"The Ray cluster {address!r} cannot be reached ({error}); check --ray, or leave it out to"
                " use this machine's processes."
            ) from None

    def __enter__(self) -> "RayRunner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def run(self, tasks: Iterable[Task], most: int | None = None) -> Iterator[Outcome]:
        """Each task's outcome as it comes; the cluster decides how many run at a time (at most `most`)."""
        perform = self._ray.remote(num_cpus=self._threads, max_retries=_RETRIES)(_perform)
        waiting = list(reversed(list(tasks)))
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and (most is None or len(running) < most):
                task = waiting.pop()
                running[perform.remote(task, self._threads)] = task
            done, _ = self._ray.wait(list(running), num_returns=1)
            yield self._outcome(done[0], running.pop(done[0]))

    def _outcome(self, reference: Any, task: Task) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
            return outcome
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Outcome(task, None, f"Ray lost its worker {_RETRIES + 1} times: {lines[0]}")


def _perform(task: Task, threads: int) -> Outcome:
    """On a worker, whose OMP_NUM_THREADS Ray has set. What it writes on the way stays there: two tries never
    write to one file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return attempt(task, threads, Path(scratch) / "partial")


def _check_listening(address: str) -> None:
    """Raises OSError at once where Ray would try for minutes; an address of another form is left to Ray."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_MOST_SECONDS).close()


def _connect(ray: Any, address: str) -> None:
    ray.init(
        address=address,
        include_dashboard=False if address == _LOCAL else None,
        log_to_driver=False,
        logging_level="ERROR",
        ignore_reinit_error=True,
    )


def within(seconds: float, action: Callable[[], object]) -> None:
    """Call `action`, whose exceptions are raised here. Raises TimeoutError; the call then goes on in a thread
    that does not keep the process from ending: Ray has no limit of its own."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            action()
        except BaseException as error:  # Ray raises SystemExit, too
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    if raised:
        raise PocketVLError(f"{type(raised[0]).__name__}: {raised[0]}")


def _import_ray() -> Any:
    try:
        import ray
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "--ray needs Ray", "ray") from None
    return ray
