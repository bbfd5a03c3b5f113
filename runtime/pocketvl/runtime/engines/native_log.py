"""Keep a native library's start-up chatter off the terminal, and show it when something fails."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SWAPPED = threading.RLock()  # the descriptor is the process's: two swaps must not cross


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Send file descriptor 2 to a temporary file; the yielded function reads what came so far.

    Native code writes past sys.stderr, so the descriptor itself is swapped. Only for short steps such as
    loading: other threads' messages land in the file too.
    """
    if sys.stderr is None:  # started without one: the descriptor, if open, is some other file's
        yield lambda: ""
        return
    with _SWAPPED, tempfile.TemporaryFile() as sink:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)

        def text() -> str:
            sink.seek(0)
            return sink.read().decode("utf-8", errors="replace")

        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)
