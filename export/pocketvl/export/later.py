"""A call that runs in a thread beside the work it is not needed for yet."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """Begins at once. For calls that let other threads run, as reading and hashing do.

    Whoever fails meanwhile need not wait for it: it ends with the process.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Waits for it; raises what it raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as failure:
            self._failure = failure
