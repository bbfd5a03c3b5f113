"""The sweep: plan, run what is missing, write the report."""

import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psutil

from pocketvl.evaluate.bench import cores
from pocketvl.evaluate.data import Dataset, open_dataset
from pocketvl.evaluate.sweep.export_task import exported
from pocketvl.evaluate.sweep.gather import Gatherer
from pocketvl.evaluate.sweep.local import LocalRunner
from pocketvl.evaluate.sweep.plan import (
    Measurements,
    SweepSettings,
    missing,
    missing_exports,
    plan_exports,
    plan_measurements,
)
from pocketvl.evaluate.sweep.report import write_report
from pocketvl.evaluate.sweep.results import Failure, SweepResult
from pocketvl.evaluate.sweep.store import Store
from pocketvl.evaluate.sweep.task import Outcome, Task
from pocketvl.export.chat_template import check_chat_template
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.component import fit_calibration
from pocketvl.export.layer_plan import resolve
from pocketvl.export.progress import Progress
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import MissingExtraError, RecipeError, UsageError

# Shares of the whole that the steps take.
_EXPORT_END, _ANSWER_END, _FIDELITY_END, _BENCH_END = 0.4, 0.75, 0.9, 0.98


_ENGINE_MEMORY = 10**9  # that a process takes for libraries and activations, beside a bundle's weights


class Runner(Protocol):
    """Performs tasks somewhere."""

    def run(self, tasks: Iterable[Task], most: int | None = None) -> Iterator[Outcome]:
        """Each task's outcome as it comes; at most so many at a time."""


StartRunner = Callable[[Store], AbstractContextManager[Runner]]


def run_sweep(
    settings: SweepSettings,
    folder: Path,
    start_runner: StartRunner,
    *,
    progress: Progress,
    warn: Callable[[str], None] = warnings.warn,
) -> SweepResult:
    """Do what `folder` does not hold yet, and write the report there.

    Everything that was finished is found again by the hash of what it depends on, so a sweep that was
    stopped goes on where it was, and one that is complete only writes its report. A task that fails becomes
    a Failure of the result; the others go on. Raises UsageError, CheckpointError or RecipeError for what is
    wrong from the start, PocketVLError if the folder cannot be written or another sweep works in it.
    """
    _check_plots()
    progress("reading the checkpoint", 0.0)
    fitted = tuple(fit_calibration(recipe, settings.model)[0] for recipe in settings.recipes)
    settings = replace(settings, recipes=fitted)  # as each export would: results are found by their recipes
    checkpoint = open_checkpoint(settings.model, settings.revision)
    for sentence in (*checkpoint.notes, *check_chat_template(checkpoint)):
        warn(sentence)
    datasets = {
        spec: open_dataset(spec, limit=settings.limit, strict=settings.strict) for spec in settings.data
    }
    store = Store(folder)
    with store.locked():
        work = _Work(settings, store, checkpoint, datasets, progress)
        with start_runner(store) as runner:
            work.export(runner)
            work.measure(runner)
        work.bench()
        progress("writing the report", _BENCH_END)
        result = work.gathered()
        write_report(result, folder)
    progress("done", 1.0)
    return result


class _Work:
    """The steps of one sweep, and what went wrong in them."""

    def __init__(
        self,
        settings: SweepSettings,
        store: Store,
        checkpoint: Checkpoint,
        datasets: dict[str, Dataset],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._store = store
        self._checkpoint = checkpoint
        self._datasets = datasets
        self._progress = progress
        self._failures: list[Failure] = []
        self._threads = cores()
        self._bundles: dict[str, Bundle] = {}
        self._tasks = Measurements({}, (), {}, {})

    def export(self, runner: Runner) -> None:
        self._progress("hashing the checkpoint", 0.0)
        tasks = plan_exports(self._settings, self._checkpoint.fingerprint(), self._store)
        self._run(runner, missing_exports(tasks), (0.0, _EXPORT_END), self._exports_at_once())
        for task in tasks:
            bundle = exported(task.output)
            if bundle is not None:
                self._bundles[task.recipe] = bundle
        self._tasks = plan_measurements(
            self._settings, self._datasets, self._bundles, self._store, self._threads
        )

    def measure(self, runner: Runner) -> None:
        """Answers and the reference's outputs, which need only bundles; then what needs those outputs."""
        most = self._bundles_at_once()
        answers = [task for tasks in self._tasks.answers.values() for task in tasks]
        first: list[Task] = [*self._tasks.reference, *answers]
        self._run(runner, missing(first, self._store), (_EXPORT_END, _ANSWER_END), most)
        fidelity = missing(list(self._tasks.fidelity.values()), self._store)
        self._run(runner, fidelity, (_ANSWER_END, _FIDELITY_END), most)

    def bench(self) -> None:
        """After everything else, in rounds and one at a time, on this machine.

        Speed beside other work says nothing.
        """
        rounds = zip(*self._tasks.speed.values(), strict=True)
        tasks = missing([task for tasks in rounds for task in tasks], self._store)
        if tasks:
            with LocalRunner(self._store, 1, self._threads) as runner:
                self._run(runner, tasks, (_FIDELITY_END, _BENCH_END))

    def gathered(self) -> SweepResult:
        gatherer = Gatherer(self._settings, self._store, self._datasets, self._bundles, self._tasks)
        return gatherer.result(self._failures, self._threads)

    def _run(
        self, runner: Runner, tasks: Sequence[Task], share: tuple[float, float], most: int | None = None
    ) -> None:
        """Keep each result, which only this process writes; exporters move their bundles themselves."""
        begin, end = share
        for done, outcome in enumerate(runner.run(tasks, most), start=1):
            task = outcome.task
            if outcome.error is not None:
                self._failures.append(Failure(task.recipe, task.kind, outcome.error))
            elif outcome.value is not None:
                self._store.write(task.kind, task.key, outcome.value)
            step = f"{task.kind} {task.recipe} ({done} of {len(tasks)})"
            self._progress(step, begin + (end - begin) * done / len(tasks))

    def _exports_at_once(self) -> int:
        """As many as fit into the memory that is free now, by what the target says that one takes."""
        needed = 1
        for recipe in self._settings.recipes:
            with suppress(RecipeError, UsageError):  # its export will say so
                plan = resolve(recipe, self._checkpoint.geometry, self._checkpoint)
                needed = max(needed, self._settings.target.estimate(plan, self._settings.export).memory)
        return _fitting(needed)

    def _bundles_at_once(self) -> int:
        sizes = (sum(record.size for record in b.manifest.files) for b in self._bundles.values())
        return _fitting(max(sizes, default=0) + _ENGINE_MEMORY)


def _fitting(needed: int) -> int:
    """How often so many bytes fit into the memory that is free now, at least once."""
    return max(1, int(psutil.virtual_memory().available) // needed)


def _check_plots() -> None:
    """Before hours of work, not after them."""
    for package in ("matplotlib", "adjustText"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"A sweep draws plots with {package}; install it with: pip install 'pocketvl[evaluate]'."
            )
