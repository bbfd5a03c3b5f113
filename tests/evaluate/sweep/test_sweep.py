"""Whole sweeps over a small random model: what is done, what is done again, what a kill leaves."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pocketvl.evaluate.data import open_dataset
from pocketvl.evaluate.sweep.local import LocalRunner
from pocketvl.evaluate.sweep.plan import SweepSettings
from pocketvl.evaluate.sweep.results import SweepResult
from pocketvl.evaluate.sweep.sweep import run_sweep
from pocketvl.evaluate.sweep.task import Outcome, Task
from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import Estimate
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import Precision, Recipe, Rule, named_recipe
from pocketvl.runtime.errors import PocketVLError
from tests.support.checkpoints import write_checkpoint
from tests.support.exporters import QUICK
from tests.support.geometries import ONE_LAYER

SHAPES = ExportSettings(buckets=(16, 64, 144), max_context=320, prefill_chunk=32)
# 1176 inputs of a patch do not divide by 32.
IMPOSSIBLE = Recipe("impossible", "rtn", (Rule("*", Precision(4, 32)),))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepSettings, Path, SweepResult, list[str]]:
    """A finished sweep: its settings, folder, result and steps."""
    folder = tmp_path_factory.mktemp("sweep")
    write_checkpoint(folder / "model", ONE_LAYER)
    recipes = (named_recipe("fp32"), IMPOSSIBLE, named_recipe("int8"))
    settings = SweepSettings(
        str(folder / "model"),
        target_for("onnx"),  # the quickest to export
        recipes,
        ("generated:2",),
        export=SHAPES,
        max_tokens=4,
        fidelity_questions=4,
    )
    result, steps = sweep(settings, folder / "out")
    return settings, folder / "out", result, steps


def sweep(settings: SweepSettings, folder: Path) -> tuple[SweepResult, list[str]]:
    steps: list[str] = []
    result = run_sweep(
        settings,
        folder,
        lambda store: LocalRunner(store, 1, 1),
        progress=lambda step, share: steps.append(step),
    )
    return result, steps


def kinds(steps: list[str]) -> set[str]:
    return {step.split()[0] for step in steps if " of " in step}


def files(folder: Path) -> dict[str, int]:
    """Every file of the cache with the moment when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_recipe_that_fails_does_not_stop_the_others(swept: Any) -> None:
    _, folder, result, _ = swept
    assert [recipe.name for recipe in result.recipes] == ["fp32", "int8"]
    (failure,) = result.failures
    assert (failure.recipe, failure.task) == ("impossible", "export")
    assert "1176 inputs" in failure.reason
    assert {path.name for path in folder.iterdir()} == {"cache", "report.html", "results.csv", "pareto.png"}


def test_everything_is_measured(swept: Any) -> None:
    settings, _, result, _ = swept
    reference, int8 = result.recipes
    questions = len(open_dataset(settings.data[0]).questions)
    assert result.questions == questions
    for recipe in (reference, int8):
        assert sum(task.questions for task in recipe.tasks) == questions
        assert recipe.decode_rate is not None
        assert recipe.decode_range is not None
        assert 0 < recipe.decode_range[0] <= recipe.decode_rate <= recipe.decode_range[1]
    assert reference.is_reference
    assert (reference.difference, reference.fidelity) == (None, None)
    assert int8.difference is not None
    assert int8.no_worse is not None
    assert 0 < int8.fidelity.kl_mean < 0.5
    assert int8.fidelity.questions == 4
    assert 25 < int8.fidelity.vision_psnr < 90
    assert int8.size < reference.size
    assert 8 < int8.bits_per_weight < 10
    assert len(int8.differences) <= 12


def test_a_second_call_only_tries_again_what_failed(swept: Any) -> None:
    settings, folder, result, steps = swept
    assert kinds(steps) == {"export", "answers", "reference", "fidelity", "speed"}
    before = files(folder / "cache")
    again, steps = sweep(settings, folder)
    assert kinds(steps) == {"export"}  # the impossible recipe
    assert again == replace(result, recipes=again.recipes)
    assert [(r.mean, r.fidelity, r.decode_rate) for r in again.recipes] == [
        (r.mean, r.fidelity, r.decode_rate) for r in result.recipes
    ]
    assert files(folder / "cache") == before


def test_longer_answers_need_no_new_bundles(swept: Any) -> None:
    settings, folder, _, _ = swept
    sound = tuple(recipe for recipe in settings.recipes if recipe != IMPOSSIBLE)
    longer = replace(settings, recipes=sound, max_tokens=5, fidelity_questions=0, limit=3)
    _, steps = sweep(longer, folder)
    assert kinds(steps) == {"answers"}


def test_a_damaged_bundle_is_exported_again(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model")
    settings = SweepSettings(
        str(tmp_path / "model"),
        QUICK,
        (named_recipe("fp32"), named_recipe("int8")),
        ("generated/read:1",),
        export=SHAPES,
        fidelity_questions=0,
        bench=False,
    )
    result, _ = sweep(settings, tmp_path / "out")
    # Artifacts that are no artifacts: every answer fails, and each failure says whose it is.
    assert {(failure.recipe, failure.task) for failure in result.failures} == {
        ("fp32", "answers"),
        ("int8", "answers"),
    }
    assert [recipe.mean for recipe in result.recipes] == [None, None]
    bundle = next((tmp_path / "out" / "cache" / "bundles").iterdir())
    (bundle / "vision_encoder.pte").write_bytes(b"short")
    _, steps = sweep(settings, tmp_path / "out")
    assert sum(step.startswith("export") for step in steps) == 1


def test_exports_at_a_time_are_as_many_as_the_target_says(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as many as fit for ExecuTorch, which takes far less than Core ML."""
    free = psutil.virtual_memory()._replace(available=10 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    most = []

    class Runner:
        def run(self, tasks: Iterable[Task], most_at_once: int | None = None) -> Iterator[Outcome]:
            most.append(most_at_once)
            return iter(Outcome(task, None, "not run") for task in tasks)

    def estimate(*_: object) -> Estimate:
        return Estimate({}, 0, 4 * 10**9)

    settings = SweepSettings(
        str(small_checkpoint),
        replace(QUICK, estimate=estimate),
        (named_recipe("fp32"), named_recipe("int8")),
        ("generated/read:1",),
        export=SHAPES,
        bench=False,
    )
    with suppress(PocketVLError):  # there is nothing to report of
        run_sweep(settings, tmp_path / "out", lambda _: nullcontext(Runner()), progress=lambda *_: None)
    assert most[0] == 2


PROGRAM = """
import pickle, sys
from pathlib import Path
from pocketvl.evaluate.sweep.local import LocalRunner
from pocketvl.evaluate.sweep.sweep import run_sweep

if __name__ == "__main__":
    settings = pickle.loads(bytes.fromhex(sys.argv[1]))
    run_sweep(settings, Path(sys.argv[2]), lambda s: LocalRunner(s, 1, 1), progress=lambda step, share: None)
"""


def test_a_killed_sweep_goes_on_where_it_was(swept: Any, tmp_path: Path) -> None:
    settings, folder, _, _ = swept
    more = replace(
        settings,
        recipes=settings.recipes[:1],
        data=("generated/count:40",),
        fidelity_questions=0,
        bench=False,
    )
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    child = subprocess.Popen(
        [sys.executable, str(script), pickle.dumps(more).hex(), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    partial = kill_after_lines(child, folder / "cache" / "partial", 5)
    early = {row["id"]: row for row in read_lines(partial)}
    assert 4 <= len(early) < 40

    result, steps = sweep(more, folder)
    assert kinds(steps) == {"answers"}
    assert result.questions == 40
    rows = next(
        rows
        for path in (folder / "cache" / "answers").iterdir()
        if len(rows := json.loads(path.read_text())) == 40
    )
    assert len({row["id"] for row in rows}) == 40
    # The answers from before the kill were kept, not given again: their times are the same to the digit.
    assert {row["id"]: row for row in rows if row["id"] in early} == early
    assert not partial.exists()


def kill_after_lines(child: "subprocess.Popen[bytes]", folder: Path, lines: int) -> Path:
    """Kill the child, and nothing but it, once it has written so many; returns the file."""
    end = time.monotonic() + 60
    while time.monotonic() < end and child.poll() is None:
        for path in folder.iterdir():
            if path.read_bytes().count(b"\n") > lines:
                child.send_signal(signal.SIGKILL)
                child.wait()
                wait_until_still(path)
                return path
        time.sleep(0.002)
    child.kill()
    raise AssertionError(f"the sweep ended with {child.wait()} before it could be killed")


def wait_until_still(path: Path) -> None:
    """The workers end with their parent, at the latest a moment later."""
    size = -1
    while size != path.stat().st_size:
        size = path.stat().st_size
        time.sleep(0.3)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines but the header."""
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return [json.loads(line) for line in whole[1:]]
