"""A step in a process of its own: results, errors and deaths come back, and nothing is left running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pocketvl.export.isolated import Call, run_isolated, run_together
from pocketvl.runtime.errors import CensusError, ExportError
from tests.support import steps


def ignore(step: str, share: float) -> None:
    pass


def test_result_and_progress(capfd: pytest.CaptureFixture[str]) -> None:
    seen = []
    total, process = run_isolated(steps.add, (2, 3), lambda step, share: seen.append((step, share)))
    assert total == 5
    assert process != os.getpid()
    assert not psutil.pid_exists(process)
    assert seen == [("adding", 0.25), ("added", 1.0)]
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err == "libraries print to stdout\nand to stderr\n"


def test_errors_come_back_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(CensusError, match="layer x has 8 bits"):
        run_isolated(steps.refuse, (), ignore)
    with pytest.raises(OSError, match="No space left") as caught:
        run_isolated(steps.fill_the_disk, (tmp_path,), ignore)
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path))


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ExportError, match="ZeroDivisionError: by nothing") as caught:
        run_isolated(steps.stumble, (), ignore)
    assert "in stumble" in caught.value.__notes__[0]


def test_deaths() -> None:
    with pytest.raises(ExportError, match="memory ran out"):
        run_isolated(steps.kill_itself, (), ignore)
    with pytest.raises(ExportError, match=f"status -{signal.SIGSEGV.value}"):
        run_isolated(steps.crash, (), ignore)


def test_calls_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the other."""
    calls = [
        Call(steps.meet, (tmp_path / name, tmp_path / other), ignore)
        for name, other in (("first", "second"), ("second", "first"))
    ]
    assert run_together(calls) == ["first", "second"]


def test_a_failure_ends_the_other_call() -> None:
    children = []
    waiting = Call(steps.wait, (), lambda step, share: children.append(int(step)))
    with pytest.raises(CensusError):
        run_together([waiting, Call(steps.refuse, (), ignore)])
    assert all(steps.gone(child) for child in children)


def test_an_exception_here_ends_the_child() -> None:
    children = []

    def interrupt(step: str, share: float) -> None:
        children.append(int(step))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_isolated(steps.wait, (), interrupt)
    assert steps.gone(children[0])


# Tests that a shell started in the background inherit an ignored SIGINT, so the script takes it back.
WAITING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pocketvl.export.isolated import run_isolated
from tests.support import steps
run_isolated(steps.wait, (), lambda step, share: print(step, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_child_ends_with_its_parent(number: signal.Signals) -> None:
    """From a script without a __main__ guard, which is also what must not be run again."""
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(number)
        assert parent.wait(20) == -number
        assert steps.gone(child)
    finally:
        parent.kill()
        parent.communicate()
