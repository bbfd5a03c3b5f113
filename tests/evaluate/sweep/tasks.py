"""Small tasks for the runners; other processes import them by name."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Double:
    """Twice the number, and who computed it."""

    kind: ClassVar[str] = "double"
    number: int

    @property
    def key(self) -> str:
        return f"double{self.number}"

    @property
    def recipe(self) -> str:
        return "r"

    def perform(self, threads: int, partial: Path) -> Any:
        return [2 * self.number, threads, os.getpid()]


@dataclass(frozen=True)
class Stumble(Double):
    def perform(self, threads: int, partial: Path) -> Any:
        raise ZeroDivisionError("by nothing")


@dataclass(frozen=True)
class Killed(Double):
    """Its process is killed the first `times` times; `marks` is the folder where they are counted."""

    marks: Path
    times: int

    def perform(self, threads: int, partial: Path) -> Any:
        count = len(list(self.marks.iterdir()))
        if count < self.times:
            (self.marks / str(count)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().perform(threads, partial)
