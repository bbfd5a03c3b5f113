"""Results summed up by task: what a table shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketvl.evaluate.data.question import BadRow
from pocketvl.evaluate.results import Result
from pocketvl.evaluate.statistics import Estimate, estimate, paired_difference, share_no_worse
from pocketvl.runtime.errors import UsageError

ALL = "all"


@dataclass(frozen=True)
class Comparison:
    """A run beside its reference on the same questions."""

    reference: Estimate
    difference: Estimate  # paired: candidate minus reference
    no_worse: float  # share of questions scored no worse than by the reference: Argmax's QoI


@dataclass(frozen=True)
class TaskSummary:
    """Scores of one task, 0..1."""

    dataset: str
    task: str  # "all" for the whole dataset
    metric: str  # "mixed" where tasks have different ones
    score: Estimate
    errors: int  # questions that could not be asked; they count as 0
    unparsed: int  # answers in which the metric found nothing to score; they count as 0
    comparison: Comparison | None = None


def summarize(
    dataset: str, results: Sequence[Result], reference: Mapping[str, float] | None = None
) -> tuple[TaskSummary, ...]:
    """One summary per task in order of appearance, then the whole dataset if it has several.

    Results whose images could not be decoded are left out. `reference` maps ids to scores. Raises UsageError
    if it lacks a question, or if no result is left.
    """
    damaged = unreadable(results)
    results = [result for result in results if not result.unreadable]
    if damaged and not results:
        raise UsageError(f"No image of {dataset} can be decoded; the first: {damaged[0].reason}")
    tasks = list(dict.fromkeys(result.task for result in results))
    groups = [(task, [result for result in results if result.task == task]) for task in tasks]
    if len(groups) > 1:
        groups.append((ALL, list(results)))
    return tuple(_task(dataset, task, group, reference) for task, group in groups)


def unreadable(results: Sequence[Result]) -> tuple[BadRow, ...]:
    """The results that no score counts, for their images could not be decoded."""
    return tuple(BadRow(f"question {r.id}", str(r.error)) for r in results if r.unreadable)


def _task(
    dataset: str, task: str, results: list[Result], reference: Mapping[str, float] | None
) -> TaskSummary:
    metrics = {result.metric for result in results}
    return TaskSummary(
        dataset=dataset,
        task=task,
        metric=metrics.pop() if len(metrics) == 1 else "mixed",
        score=estimate([result.score for result in results]),
        errors=sum(result.error is not None for result in results),
        unparsed=sum(result.unparsed for result in results),
        comparison=None if reference is None else _compare(results, reference),
    )


def _compare(results: list[Result], reference: Mapping[str, float]) -> Comparison:
    ours = {result.id: result.score for result in results}
    theirs = {name: reference[name] for name in ours if name in reference}
    difference = paired_difference(ours, theirs)  # refuses other questions
    return Comparison(
        reference=estimate(list(theirs.values())),
        difference=difference,
        no_worse=share_no_worse(ours, theirs),
    )
