"""One piece of a sweep's work, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pocketvl.runtime.errors import PocketVLError


class Task(Protocol):
    """Travels by pickle to whatever process or machine performs it."""

    @property
    def kind(self) -> str:
        """The folder of its result in the store, and what failures call it."""

    @property
    def key(self) -> str:
        """Hash of everything that its result depends on."""

    @property
    def recipe(self) -> str: ...

    def perform(self, threads: int, partial: Path) -> Any:
        """The result, as JSON holds it. `partial` is where it may keep what it has done so far: a file that
        does not exist, or one that an interrupted run of this very task left.
        """


@dataclass(frozen=True)
class Outcome:
    """A value, or the sentence that says why there is none."""

    task: Task
    value: Any
    error: str | None = None


def attempt(task: Task, threads: int, partial: Path) -> Outcome:
    """Perform the task; whatever goes wrong in it becomes its outcome, so that other tasks go on."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        return Outcome(task, task.perform(threads, partial))
    except PocketVLError as error:
        return Outcome(task, None, str(error))
    except Exception as error:
        return Outcome(task, None, f"{type(error).__name__}: {error}")
