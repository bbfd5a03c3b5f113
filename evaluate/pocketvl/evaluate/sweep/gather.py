"""From finished tasks to the results that the report shows."""

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pocketvl.evaluate.data import BadRow, Dataset
from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.sweep.answer_task import AnswerTask
from pocketvl.evaluate.sweep.bit_map import bit_map
from pocketvl.evaluate.sweep.machine import processor, versions
from pocketvl.evaluate.sweep.plan import Measurements, SweepSettings
from pocketvl.evaluate.sweep.results import Difference, Failure, RecipeResult, SweepResult
from pocketvl.evaluate.sweep.scores import (
    Answers,
    Asked,
    Given,
    differences,
    mean_of,
    no_worse,
    task_scores,
)
from pocketvl.evaluate.sweep.store import Store
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.bundle.strict import from_json


class Gatherer:
    """Reads what the tasks of one sweep have left in its store."""

    def __init__(
        self,
        settings: SweepSettings,
        store: Store,
        datasets: Mapping[str, Dataset],
        bundles: Mapping[str, Bundle],
        tasks: Measurements,
    ) -> None:
        self._settings = settings
        self._store = store
        self._bundles = bundles
        self._tasks = tasks
        self._data = tuple(datasets)
        self._all = asked(datasets)
        answers = {recipe: self._answers(recipe) for recipe in bundles}
        # Every recipe meets the same damaged images; a question that one could not read, none is scored on.
        damaged = {
            name: given.error
            for every in answers.values()
            for name, given in (every or {}).items()
            if given.unreadable
        }
        self._asked = tuple(item for item in self._all if item.id not in damaged)
        self._given = {
            recipe: None if every is None or not self._asked else {i.id: every[i.id] for i in self._asked}
            for recipe, every in answers.items()
        }
        self._reference = self._given.get(settings.reference.name)
        rows = tuple(row for dataset in datasets.values() for row in dataset.bad_rows)
        self._bad_rows = rows + tuple(BadRow(name, str(error)) for name, error in damaged.items())
        given = (one for every in answers.values() for one in (every or {}).values())
        self._notes = tuple(dict.fromkeys(note for one in given for note in one.notes))

    def result(self, failures: Sequence[Failure], threads: int) -> SweepResult:
        """Every recipe that has a bundle, the reference first. Raises ImageError."""
        recipes = [recipe for recipe in self._settings.recipes if recipe.name in self._bundles]
        target = next((b.manifest.target for b in self._bundles.values()), names.EXECUTORCH)
        return SweepResult(
            model=next((b.manifest.provenance.source for b in self._bundles.values()), self._settings.model),
            reference=self._settings.reference.name,
            data=self._data,
            questions=len(self._asked),
            target=target,
            processor=processor(),
            threads=threads,
            date=datetime.now(UTC).date().isoformat(),
            versions=versions(target),
            recipes=tuple(self._recipe(recipe) for recipe in recipes),
            failures=tuple(failures),
            bad_rows=self._bad_rows,
            notes=self._notes,
        )

    def _recipe(self, recipe: Recipe) -> RecipeResult:
        manifest = self._bundles[recipe.name].manifest
        is_reference = recipe.name == self._settings.reference.name
        ours = self._given[recipe.name]
        rates = self._decode_rates(recipe.name)
        reference = None if is_reference else self._reference
        tasks = () if ours is None else task_scores(self._asked, ours, reference)
        share: float | None = None
        shown: tuple[Difference, ...] = ()
        if ours is not None and reference is not None:
            share, shown = no_worse(ours, reference), differences(self._asked, ours, reference)
        return RecipeResult(
            name=recipe.name,
            method=manifest.quantization_method,
            is_reference=is_reference,
            size=sum(record.size for record in manifest.files),
            bits_per_weight=_bits_per_weight(manifest),
            tasks=tasks,
            mean=mean_of(task.score for task in tasks),
            difference=mean_of(task.difference for task in tasks),
            unasked=0 if ours is None else sum(given.error is not None for given in ours.values()),
            no_worse=share,
            fidelity=self._fidelity(recipe.name),
            decode_rate=statistics.fmean(rates) if rates else None,
            decode_range=(min(rates), max(rates)) if rates else None,
            bit_map=bit_map(manifest.geometry, recipe),
            differences=shown,
        )

    def _answers(self, recipe: str) -> Answers | None:
        """All answers of a recipe; None where any are missing, for a part is not comparable."""
        rows: list[Any] = []
        for task in self._tasks.answers.get(recipe, ()):
            shard = self._store.read(AnswerTask.kind, task.key)
            if shard is None:
                return None
            rows += shard
        if len(rows) != len(self._all):
            return None
        return {
            item.id: Given(
                row["answer"],
                row["score"],
                row["error"],
                row.get("unreadable", False),
                tuple(row.get("notes", ())),
            )
            for item, row in zip(self._all, rows, strict=True)
        }

    def _fidelity(self, recipe: str) -> Fidelity | None:
        task = self._tasks.fidelity.get(recipe)
        if task is None:
            return None
        value = self._store.read(task.kind, task.key)
        return None if value is None else from_json(Fidelity, value, f"the result {task.key}")

    def _decode_rates(self, recipe: str) -> list[float]:
        """Of the rounds that were measured."""
        values = [self._store.read(task.kind, task.key) for task in self._tasks.speed.get(recipe, ())]
        return [float(value["decode_rate"]) for value in values if value is not None]


def asked(datasets: Mapping[str, Dataset]) -> tuple[Asked, ...]:
    """Every question in the order of the shards. With several datasets, tasks are called DATASET: TASK."""
    items = []
    names = [dataset.name for dataset in datasets.values()]
    for spec, dataset in datasets.items():
        label = dataset.name if names.count(dataset.name) == 1 else spec
        prefix = f"{label}: " if len(datasets) > 1 else ""
        items += [Asked(f"{spec}/{q.id}", f"{prefix}{q.task}", q) for q in dataset.questions]
    return tuple(items)


def _bits_per_weight(manifest: Manifest) -> float:
    stored = sum(group.bytes for group in manifest.layers)
    return 8 * stored / max(1, sum(group.parameters for group in manifest.layers))
