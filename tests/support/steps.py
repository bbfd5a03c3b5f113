"""Functions for a process of their own: it imports them by name; and whether that process is gone."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pocketvl.runtime.errors import CensusError

Report = Callable[[str, float], None]


def add(first: int, second: int, report: Report) -> tuple[int, int]:
    """The sum and the process."""
    report("adding", 0.25)
    print("libraries print to stdout")
    sys.stderr.write("and to stderr\n")
    report("added", 1.0)
    return first + second, os.getpid()


def refuse(report: Report) -> None:
    raise CensusError("layer x has 8 bits.")


def fill_the_disk(path: Path, report: Report) -> None:
    raise OSError(28, "No space left on device", str(path))


def stumble(report: Report) -> None:
    raise ZeroDivisionError("by nothing")


def crash(report: Report) -> None:
    ctypes.string_at(0)


def kill_itself(report: Report) -> None:
    os.kill(os.getpid(), 9)


def wait(report: Report) -> None:
    report(str(os.getpid()), 0.0)
    time.sleep(60)


def meet(own: Path, other: Path, report: Report) -> str:
    """Says that it is there, and waits up to 60 seconds for the other."""
    own.touch()
    for _ in range(1200):
        if other.exists():
            return own.name
        time.sleep(0.05)
    raise TimeoutError(f"{other.name} did not come")


def gone(process: int) -> bool:
    """Waits up to 10 seconds for it."""
    for _ in range(200):
        if not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
