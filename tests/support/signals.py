"""A whole command in a process of its own, to send signals to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def take_back() -> None:
    """What nohup or a background job of a shell ignores would stay ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def command(temporary: Path, *words: object, before: Callable[[], None] = take_back) -> Iterator["Run"]:
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pocketvl.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "TMPDIR": str(temporary)},
        preexec_fn=before,  # noqa: PLW1509  no threads here
    )
    try:
        yield Run(process)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
            child.kill()
        process.kill()
        process.communicate()


class Run:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def wait_for(self, happened: Callable[[], object]) -> list[int]:
        """Returns the processes below the command, once it `happened`."""
        end = time.monotonic() + 120
        while not happened():
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def has_worker(self) -> bool:
        return bool(psutil.Process(self.process.pid).children())

    def end(self, number: signal.Signals) -> tuple[int, float, str]:
        """(status, seconds, what it said)."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, time.monotonic() - began, said
