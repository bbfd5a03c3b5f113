"""From finished tasks to the results that the report shows."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pocketvl.evaluate.data import Dataset
from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.sweep.answer_task import AnswerTask
from pocketvl.evaluate.sweep.bit_map import bit_map
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
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.strict import from_json


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
        self._asked = asked(datasets)
        self._reference = self._answers(settings.reference.name)

    def result(self, failures: Sequence[Failure], threads: int) -> SweepResult:
        """Every recipe that has a bundle, the reference first. Raises ImageError."""
        recipes = [recipe for recipe in self._settings.recipes if recipe.name in self._bundles]
        return SweepResult(
            model=next((b.manifest.provenance.source for b in self._bundles.values()), self._settings.model),
            reference=self._settings.reference.name,
            data=self._data,
            questions=len(self._asked),
            threads=threads,
            version=version("pocketvl"),
            recipes=tuple(self._recipe(recipe) for recipe in recipes),
            failures=tuple(failures),
        )

    def _recipe(self, recipe: Recipe) -> RecipeResult:
        manifest = self._bundles[recipe.name].manifest
        is_reference = recipe.name == self._settings.reference.name
        ours = self._answers(recipe.name)
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
            decode_rate=self._decode_rate(recipe.name),
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
        if len(rows) != len(self._asked):
            return None
        return {
            item.id: Given(row["answer"], row["score"], row["error"])
            for item, row in zip(self._asked, rows, strict=True)
        }

    def _fidelity(self, recipe: str) -> Fidelity | None:
        task = self._tasks.fidelity.get(recipe)
        if task is None:
            return None
        value = self._store.read(task.kind, task.key)
        return None if value is None else from_json(Fidelity, value, f"the result {task.key}")

    def _decode_rate(self, recipe: str) -> float | None:
        task = self._tasks.speed.get(recipe)
        value = None if task is None else self._store.read(task.kind, task.key)
        return None if value is None else float(value["decode_rate"])


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
