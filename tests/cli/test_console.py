"""What a command says of its progress, in a terminal and in a log file."""

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from pocketvl.cli import console
from pocketvl.cli.console import clock, megabytes, progress_bar


class Clock:
    """time.monotonic, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time_(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(console, "time", moved)
    return moved


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(console, "log", Console(file=written, width=200))
    return written


def test_a_log_file_gets_a_line_for_each_kind_of_step(time_: Clock, stderr: io.StringIO) -> None:
    with progress_bar("export tiny") as progress:
        progress("reading the checkpoint", 0.0)
        time_.now += 5
        for unit, share in ((0, 0.1), (1, 0.2), (2, 0.3)):
            progress(f"calibrating block {unit}", share)
            time_.now += 6
        progress("done", 1.0)
    assert stderr.getvalue().splitlines() == [
        "[0:00] export tiny: reading the checkpoint (0%)",
        "[0:05] export tiny: calibrating block 0 (10%, 0:45 left)",
        "[0:17] export tiny: calibrating block 2 (30%, 0:40 left)",
        "[0:23] export tiny: done (100%)",
    ]


def test_a_thousand_questions_are_few_lines(time_: Clock, stderr: io.StringIO) -> None:
    with progress_bar("evaluate") as progress:
        for number in range(1000):
            progress(f"answers: {number}", number / 1000)
            time_.now += 0.05
    assert len(stderr.getvalue().splitlines()) == 5


def test_a_terminal_gets_a_bar_with_the_time_left_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=100)
    monkeypatch.setattr(console, "log", terminal)
    with progress_bar("export tiny") as progress:
        progress("lowering [the decoder]", 0.5)
        progress("lowering [the decoder]", 0.5)
    assert "lowering [the decoder]" in written.getvalue()
    assert re.search(r" 5\d %", written.getvalue())
    assert " left" in written.getvalue()


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0.0 MB"), (512, "0.5 KB"), (2_700, "2.7 KB"), (50_000, "0.1 MB"), (1_654_300_000, "1,654.3 MB")],
)
def test_small_sizes_are_not_nothing(size: int, said: str) -> None:
    assert megabytes(size) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0:00"), (59.6, "1:00"), (75, "1:15"), (3725, "1:02:05")]
)
def test_clock(seconds: float, said: str) -> None:
    assert clock(seconds) == said
