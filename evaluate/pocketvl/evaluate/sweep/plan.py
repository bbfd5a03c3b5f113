"""What a sweep has to do: everything that its results need and its folder does not hold yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pocketvl.evaluate.data import Dataset
from pocketvl.evaluate.sweep.answer_task import AnswerTask, answer_key
from pocketvl.evaluate.sweep.bench_task import ROUNDS, BenchTask, bench_key
from pocketvl.evaluate.sweep.export_task import ExportTask, export_key, exported
from pocketvl.evaluate.sweep.fidelity_task import (
    FidelityTask,
    ReferenceTask,
    fidelity_key,
    reference_key,
)
from pocketvl.evaluate.sweep.shards import Shard, cut, spread
from pocketvl.evaluate.sweep.store import Store
from pocketvl.evaluate.sweep.task import Task
from pocketvl.export.component import ExportSettings
from pocketvl.export.target import Target
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.bundle.open import Bundle

REFERENCE_SHARD = 16  # questions; few, for the reference is the slowest


@dataclass(frozen=True)
class SweepSettings:
    """What to compare. The first recipe is the reference, that the others are compared with."""

    model: str
    target: Target
    recipes: tuple[Recipe, ...]
    data: tuple[str, ...]
    limit: int | None = None  # rows of each dataset
    strict: bool = False  # fail at a row that cannot be used
    export: ExportSettings = field(default_factory=ExportSettings)
    max_tokens: int = 32  # of an answer
    fidelity_questions: int = 48  # of all datasets together; 0: none
    bench: bool = True
    revision: str | None = None  # branch, tag or commit of a model on the hub

    @property
    def reference(self) -> Recipe:
        return self.recipes[0]


@dataclass(frozen=True)
class Measurements:
    """Tasks by recipe: shards in their order, all of them, done or not."""

    answers: Mapping[str, tuple[AnswerTask, ...]]
    reference: tuple[ReferenceTask, ...]
    fidelity: Mapping[str, FidelityTask]
    speed: Mapping[str, tuple[BenchTask, ...]]  # one per round


def plan_exports(settings: SweepSettings, model_fingerprint: str, store: Store) -> tuple[ExportTask, ...]:
    """One export a recipe, done or not."""
    tasks = []
    for recipe in settings.recipes:
        key = export_key(model_fingerprint, settings.target, recipe, settings.export)
        tasks.append(
            ExportTask(
                key,
                settings.model,
                settings.revision,
                model_fingerprint,
                settings.target,
                recipe,
                settings.export,
                store.bundle(key),
            )
        )
    return tuple(tasks)


def plan_measurements(
    settings: SweepSettings,
    datasets: Mapping[str, Dataset],
    bundles: Mapping[str, Bundle],
    store: Store,
    threads: int,
) -> Measurements:
    """For the recipes that have a bundle. `threads`: of the speed measurement."""
    shards = [shard for spec, dataset in datasets.items() for shard in cut(spec, settings.limit, dataset)]
    answers = {
        recipe: tuple(
            AnswerTask(
                answer_key(bundle, shard, settings.max_tokens),
                recipe,
                bundle.folder,
                shard,
                settings.max_tokens,
            )
            for shard in shards
        )
        for recipe, bundle in bundles.items()
    }
    speed = {
        recipe: tuple(
            BenchTask(bench_key(bundle, bundles.values(), threads, number), recipe, bundle.folder)
            for number in range(ROUNDS)
        )
        for recipe, bundle in bundles.items()
        if settings.bench
    }
    few = _few_shards(settings, datasets)
    reference = bundles.get(settings.reference.name)
    if reference is None or not few:
        return Measurements(answers, (), {}, speed)
    return Measurements(
        answers,
        _reference_tasks(settings, reference, few, store),
        _fidelity_tasks(settings, bundles, reference, few, store),
        speed,
    )


def _few_shards(settings: SweepSettings, datasets: Mapping[str, Dataset]) -> tuple[Shard, ...]:
    """The questions whose distributions are compared, shared among the datasets."""
    each = -(-settings.fidelity_questions // max(1, len(datasets)))
    if each == 0:
        return ()
    return tuple(
        shard
        for spec, dataset in datasets.items()
        for shard in spread(spec, settings.limit, dataset, each, REFERENCE_SHARD)
    )


def _reference_tasks(
    settings: SweepSettings, reference: Bundle, shards: Sequence[Shard], store: Store
) -> tuple[ReferenceTask, ...]:
    return tuple(
        ReferenceTask(
            reference_key(reference, shard, settings.max_tokens),
            settings.reference.name,
            reference.folder,
            shard,
            settings.max_tokens,
            store.outputs(),
        )
        for shard in shards
    )


def _fidelity_tasks(
    settings: SweepSettings,
    bundles: Mapping[str, Bundle],
    reference: Bundle,
    shards: tuple[Shard, ...],
    store: Store,
) -> dict[str, FidelityTask]:
    return {
        recipe: FidelityTask(
            fidelity_key(bundle, reference, shards, settings.max_tokens),
            recipe,
            bundle.folder,
            reference.folder,
            shards,
            settings.max_tokens,
            store.outputs(),
        )
        for recipe, bundle in bundles.items()
        if recipe != settings.reference.name
    }


def missing_exports(tasks: Sequence[ExportTask]) -> list[Task]:
    return [task for task in tasks if exported(task.output) is None]


def missing(tasks: Sequence[Task], store: Store) -> list[Task]:
    return [task for task in tasks if store.read(task.kind, task.key) is None]
