"""How far a long task is: shares of its time, passed up from its parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

# Called with a short sentence for the step that begins and the share of the task's time that is spent, 0..1.
Progress = Callable[[str, float], None]

_KNOWN_FROM = 0.1  # share of a task that has to be done before its end can be told


def silent(_step: str, _share: float) -> None:
    """For callers that show nothing."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of one part, which takes the time from share `start` to share `end` of the whole."""
    return lambda step, share: progress(step, (1 - share) * start + share * end)


def parts(progress: Progress, seconds: Sequence[float]) -> list[Progress]:
    """Progress of each of the parts that follow one another and take about so long."""
    total = sum(seconds)
    ends = [reached / total if total else 1.0 for reached in accumulate(seconds)]
    return [part(progress, start, end) for start, end in zip([0.0, *ends], ends, strict=False)]


def abreast(progress: Progress, seconds: Sequence[float]) -> list[Progress]:
    """Progress of each of the parts that run at the same time, each on a core of its own.

    seconds: that each takes. Together they take as long as the longest; what is left is that of the one that
    is furthest from its end.
    """
    total, left = max(seconds), list(seconds)

    def own(number: int) -> Progress:
        def report(step: str, share: float) -> None:
            left[number] = (1 - share) * seconds[number]
            progress(step, 1 - max(left) / total if total else 1.0)

        return report

    return [own(number) for number in range(len(seconds))]


@dataclass
class Steps:
    """A part's steps by their names, whose times are as `weights`; next() with one when it is done.

    Names that have no weight take no time.
    """

    progress: Progress
    label: str
    weights: Mapping[str, float]
    done: float = 0.0

    def next(self, name: str) -> None:
        self.done += self.weights.get(name, 0.0)
        total = sum(self.weights.values())
        self.progress(self.label, min(1.0, self.done / total) if total else 1.0)


def time_left(now: float, reported: float, share: float) -> float | None:
    """Seconds that a task has left, which began at 0, reported `share` at `reported` and nothing since.

    What is done went at elapsed / share, and so will the rest. None before a tenth is done, since how a task
    starts says little about the rest. While no report comes the estimate counts down to a quarter, so that a
    long step does not look finished.
    """
    if share < _KNOWN_FROM or reported <= 0:
        return None
    rest = reported * (1 - share) / share
    return max(rest - (now - reported), rest / 4)


@dataclass
class Advance:
    """Where a task is that began at 0: its share, and when that last grew.

    A report of the same share, by a part that others are slower than, says nothing new of the time left.
    """

    at: float = 0.0
    share: float = 0.0

    def note(self, now: float, share: float) -> None:
        if share > self.share:
            self.at, self.share = now, share

    def left(self, now: float) -> float | None:
        """Seconds, see time_left."""
        return time_left(now, self.at, self.share)
