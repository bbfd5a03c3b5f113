"""Signals to whole commands, as a terminal, a service manager and a user send them."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.signals import command, take_back
from tests.support.steps import gone


def export(output: Path, checkpoint: Path, *more: object) -> tuple[object, ...]:
    return ("export", checkpoint, "-o", output, "--recipe", "int8", "--method", "rtn", *more)


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "SIGHUP")], ids=["SIGINT", "SIGHUP"]
)
def test_a_signal_during_imports(
    number: signal.Signals, word: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    with command(tmp_path / "temporary", *export(tmp_path / "out", small_checkpoint)) as run:
        below = run.wait_for(run.has_worker)
        status, seconds, said = run.end(number)
        assert (status, said.count("\n")) == (128 + number, 1)
        assert said.startswith(f"Stopped by {word};")
        assert seconds < 5
        assert all(gone(process) for process in below)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_signal_in_the_middle_of_writing(small_checkpoint: Path, tmp_path: Path) -> None:
    """Of an export for ONNX into new folders: torch catches exceptions there, whosever they are."""
    output = tmp_path / "deep" / "er" / "out"
    words = export(output, small_checkpoint, "--target", "onnx")
    with command(tmp_path / "temporary", *words) as run:
        below = run.wait_for(lambda: list(output.parent.glob(".out.partial-*/new")))
        status, seconds, said = run.end(signal.SIGTERM)
        assert (status, seconds < 5) == (128 + signal.SIGTERM, True), said
        assert all(gone(process) for process in below)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_worker_ends_when_the_command_is_killed(small_checkpoint: Path, tmp_path: Path) -> None:
    with command(tmp_path / "temporary", *export(tmp_path / "out", small_checkpoint)) as run:
        below = run.wait_for(run.has_worker)
        assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
        assert all(gone(process) for process in below)


def test_a_worker_that_is_killed_gets_a_sentence(small_checkpoint: Path, tmp_path: Path) -> None:
    """As the system kills one when memory runs out."""
    with command(tmp_path / "temporary", *export(tmp_path / "out", small_checkpoint)) as run:
        (worker, *_) = run.wait_for(run.has_worker)
        os.kill(worker, signal.SIGKILL)
        _, said = run.process.communicate(timeout=60)
    assert run.process.returncode == 1
    assert "ended by SIGKILL, most likely because memory ran out" in said


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    def ignore() -> None:
        take_back()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with command(tmp_path / "temporary", "bench", tmp_path / "none", before=ignore) as run:
        run.wait_for(run.has_worker)
        status, _, said = run.end(signal.SIGHUP)
    assert status == 1
    assert "none does not exist" in said


def test_ctrl_z_stops_the_worker_too(small_checkpoint: Path, tmp_path: Path) -> None:
    def lead() -> None:
        take_back()
        os.setpgid(0, 0)  # as a shell's job: a group without a parent outside it is never stopped (POSIX)

    words = export(tmp_path / "out", small_checkpoint)
    with command(tmp_path / "temporary", *words, before=lead) as run:
        (worker, *_) = run.wait_for(run.has_worker)
        run.process.send_signal(signal.SIGTSTP)
        run.wait_for(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED)
        run.process.send_signal(signal.SIGCONT)
        run.wait_for(lambda: psutil.Process(worker).status() != psutil.STATUS_STOPPED)
        assert run.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM
