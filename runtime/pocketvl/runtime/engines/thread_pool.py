"""ExecuTorch's pool of threads, of which a process has one."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

from pocketvl.runtime.engines.checks import check_threads
from pocketvl.runtime.engines.native_log import captured_stderr
from pocketvl.runtime.errors import UsageError

# State of the process, as the pool is.
_lock = threading.Lock()
_users: "weakref.WeakSet[Any]" = weakref.WeakSet()  # native objects: they leave when their memory is freed
_own_choice: list[int] = []  # ExecuTorch's number of threads before anyone asked for another


class ThreadPool:
    """The pool with as many threads as one engine wants; None: as many as ExecuTorch thinks best.

    Loaded methods keep a pointer to the pool. Another number replaces it, and they would go on to use the one
    that was freed: so that is refused while anything is loaded. None never is: a pool in use stays as it is.
    """

    def __init__(self, runtime: Any, threads: int | None) -> None:
        """Raises EngineError for a number that no pool should have, UsageError where another is in use."""
        check_threads(threads)
        self._runtime, self._threads = runtime, threads
        with captured_stderr(), _lock:  # counting talks about the processor
            self._is_to_change()

    def load(self, open_native: Callable[[], Any]) -> Any:
        """What `open_native` gives, which counts as a user of the pool while it is alive. Raises UsageError.

        To be called within captured_stderr, since the pool talks as well.
        """
        with _lock:
            if self._is_to_change():
                self._runtime._unsafe_reset_threadpool(self._wanted())
            native = open_native()
            _users.add(native)
            return native

    def _is_to_change(self) -> bool:
        current = self._runtime._threadpool_get_thread_count()
        if not _own_choice:
            _own_choice.append(current)
        if current == self._wanted():
            return False
        if not _users:
            return True
        if self._threads is None:
            return False
        raise UsageError(
            f"Another model of this process runs ExecuTorch with {_called(current)} and cannot go on with"
            f" {_called(self._threads)}; load all models with the same number, or close the other one first."
        )

    def _wanted(self) -> int:
        return _own_choice[0] if self._threads is None else self._threads


def _called(threads: int) -> str:
    return f"{threads} thread{'' if threads == 1 else 's'}"
