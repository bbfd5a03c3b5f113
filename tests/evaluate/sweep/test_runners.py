"""Tasks in other processes: results, failures, and processes that die."""

import socket
import threading
import time
from pathlib import Path

import pytest

from pocketvl.evaluate.sweep import ray_runner
from pocketvl.evaluate.sweep.local import LocalRunner
from pocketvl.evaluate.sweep.store import Store
from pocketvl.evaluate.sweep.task import Outcome, Task
from pocketvl.runtime.errors import PocketVLError
from tests.evaluate.sweep.tasks import Double, Killed, Stumble


def numbers(outcomes: list[Outcome]) -> dict[str, int]:
    """Results by key, each task's exactly once."""
    assert len({outcome.task.key for outcome in outcomes}) == len(outcomes)
    return {outcome.task.key: outcome.value[0] for outcome in outcomes if outcome.error is None}


def errors(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.task.key: outcome.error for outcome in outcomes if outcome.error is not None}


def test_a_process_that_dies_takes_no_other_task_with_it(tmp_path: Path) -> None:
    (tmp_path / "always").mkdir()
    tasks: list[Task] = [
        Double(1),
        Stumble(2),
        Killed(3, tmp_path / "always", 99),
        Double(4),
        Double(5),
    ]
    with LocalRunner(Store(tmp_path), 2, threads=1) as runner:
        outcomes = list(runner.run(tasks))
    assert numbers(outcomes) == {"double1": 2, "double4": 8, "double5": 10}
    assert errors(outcomes).keys() == {"double2", "double3"}
    assert errors(outcomes)["double2"] == "ZeroDivisionError: by nothing"
    assert "ended early" in errors(outcomes)["double3"]


def test_ray_tries_again_when_a_worker_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    from pocketvl.evaluate.sweep.ray_runner import RayRunner

    tasks: list[Task] = [Killed(1, tmp_path, 1), Double(2), Stumble(3)]
    with RayRunner("local", threads=1) as runner:
        outcomes = list(runner.run(tasks, most=2))
    assert numbers(outcomes) == {"double1": 2, "double2": 4}
    assert errors(outcomes) == {"double3": "ZeroDivisionError: by nothing"}
    assert [mark.name for mark in tmp_path.iterdir()] == ["0"]


def test_a_wrong_ray_address_fails_at_once() -> None:
    """Ray itself would try for minutes."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from pocketvl.evaluate.sweep.ray_runner import RayRunner

    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(PocketVLError, match=r"cannot be reached .*; check --ray"):
            RayRunner(f"127.0.0.1:{bound.getsockname()[1]}", threads=1)
    assert time.monotonic() - began < 20


def test_a_ray_address_that_never_answers_fails_in_time() -> None:
    waits = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        ray_runner.within(0.1, waits.wait)
    waits.set()
    with pytest.raises(PocketVLError, match="ValueError: wrong"):
        ray_runner.within(10, raise_value_error)


def raise_value_error() -> None:
    raise ValueError("wrong")
