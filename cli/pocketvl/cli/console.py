"""Where output goes: results to stdout, progress and errors to stderr."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from pocketvl.export.progress import Advance, Progress

out = Console(highlight=False)
log = Console(stderr=True, highlight=False)

_SECONDS_A_LINE = 10.0


def error(message: str) -> None:
    log.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    log.print(escape(message), soft_wrap=True)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


class _Moving(Bars):
    """Bars that move between two reports as the time left says."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            left, elapsed = _left(task), task.elapsed or 0.0
            if left is not None and not task.finished:
                task.completed = max(task.completed, elapsed / (elapsed + left))
        return super().get_renderables()


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        left = _left(task)
        return Text("" if left is None else f"{clock(left)} left")


def _left(task: Task) -> float | None:
    advance: Advance = task.fields["advance"]
    return advance.left(task.elapsed or 0.0)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on stderr with the time spent and the time left; a line for each step where that is no terminal.

    The yielded function takes the step's name and the share of the time that is spent, 0..1.
    """
    if not log.is_terminal:
        yield _Lines(title).report
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        _TimeLeft(),
    )
    with _Moving(*columns, console=log, transient=True) as bars:
        number = bars.add_task(escape(title), total=1.0, advance=Advance())
        (task,) = bars.tasks

        def report(step: str, share: float) -> None:
            task.fields["advance"].note(task.elapsed or 0.0, share)
            bars.update(number, description=escape(step), completed=max(task.completed, share))

        yield report


class _Lines:
    """Progress for a log file: a line when a step of another kind begins, by its first word, and every ten
    seconds; the steps of one kind may be a thousand questions."""

    def __init__(self, title: str) -> None:
        self._title, self._began, self._kind, self._last = title, time.monotonic(), "", 0.0
        self._advance = Advance()

    def report(self, step: str, share: float) -> None:
        elapsed = time.monotonic() - self._began
        self._advance.note(elapsed, share)
        kind = step.partition(" ")[0]
        if kind == self._kind and elapsed - self._last < _SECONDS_A_LINE:
            return
        self._kind, self._last = kind, elapsed
        left = self._advance.left(elapsed)
        rest = "" if left is None or share >= 1 else f", {clock(left)} left"
        note(f"[{clock(elapsed)}] {self._title}: {step} ({share:.0%}{rest})")


def clock(seconds: float) -> str:
    """75 -> "1:15"; hours where there are any."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def megabytes(size: float) -> str:
    """In MB, or KB where that would say 0.0."""
    return f"{size / 1e6:,.1f} MB" if size >= 50_000 or size == 0 else f"{size / 1e3:,.1f} KB"
