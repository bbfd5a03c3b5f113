"""Child processes that end with their parent, however that ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any


def start_child(module: str, words: Sequence[str] = (), **options: Any) -> "subprocess.Popen[bytes]":
    """`python -m module words...` with this interpreter and its sys.path, and a pipe for its stdin.

    The caller holds the pipe open: its end is what `end_with(stdin_closes)` waits for. A plain interpreter,
    not a multiprocessing one: those run the caller's script again, which must then be written for it.
    options: as subprocess.Popen takes them.
    """
    environment = options.pop("env", os.environ) | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    # -P: a file of the working folder must not replace a module.
    command = [sys.executable, "-P", "-m", module, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, **options)


def end_with(parent_ends: Callable[[], object]) -> None:
    """In the child: end at once when `parent_ends` returns, with the whole process group if it leads one."""

    def wait() -> None:
        parent_ends()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def stdin_closes() -> None:
    """Returns when the other end of the pipe is closed. Not through sys.stdin, whose lock would be held."""
    while os.read(0, 1):
        pass
