"""Progress of equal steps."""

from dataclasses import dataclass

from pocketvl.export.component import Progress


@dataclass
class Steps:
    """Each next() is one of `count` steps from share `start` to share `end`."""

    progress: Progress
    label: str
    start: float
    end: float
    count: int
    done: int = 0

    def next(self, _: object = None) -> None:
        self.done += 1
        share = min(1.0, self.done / max(1, self.count))
        self.progress(self.label, self.start + (self.end - self.start) * share)
