"""From single answers to scores by task, differences to the reference, and the questions that show them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pocketvl.evaluate.data import Question
from pocketvl.evaluate.statistics import Estimate, estimate, paired_difference, share_no_worse
from pocketvl.evaluate.sweep.results import Difference, TaskScore

MOST_DIFFERENCES = 12


@dataclass(frozen=True)
class Asked:
    """A question of the sweep. `task` is its task's name in the report."""

    id: str  # its own in the whole sweep
    task: str
    question: Question


@dataclass(frozen=True)
class Given:
    """What a recipe said."""

    answer: str
    score: float
    error: str | None = None
    unreadable: bool = False  # an image could not be decoded
    notes: tuple[str, ...] = ()  # about its images


Answers = Mapping[str, Given]  # by Asked.id


def task_scores(asked: Sequence[Asked], ours: Answers, reference: Answers | None) -> tuple[TaskScore, ...]:
    """Tasks in the order in which they first occur; differences where a reference is given."""
    scores = []
    for task, ids in _by_task(asked).items():
        mine = _scores(ours, ids)
        difference = None
        if reference is not None:
            difference = paired_difference(mine, _scores(reference, ids))
        scores.append(TaskScore(task, len(ids), estimate(list(mine.values())), difference))
    return tuple(scores)


def mean_of(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The mean of independent means, each counting the same; None if one is missing or there are none.

    Error: sqrt(sum of squares) / n.
    """
    given = list(estimates)
    known = [value for value in given if value is not None]
    if not known or len(known) < len(given):
        return None
    errors = [value.error for value in known if value.error is not None]
    error = math.hypot(*errors) / len(known) if len(errors) == len(known) else None
    mean = math.fsum(value.mean for value in known) / len(known)
    return Estimate(mean, error, sum(value.count for value in known))


def no_worse(ours: Answers, reference: Answers) -> float:
    """Share of questions answered at least as well as by the reference."""
    return share_no_worse(_scores(ours, ours), _scores(reference, reference))


def _scores(answers: Answers, names: Iterable[str]) -> dict[str, float]:
    return {name: answers[name].score for name in names}


def differences(asked: Sequence[Asked], ours: Answers, reference: Answers) -> tuple[Difference, ...]:
    """Questions with another answer than the reference's, of every task alike, the greatest losses first.

    Raises ImageError if an image cannot be read any more.
    """

    def gain(item: Asked) -> float:
        return ours[item.id].score - reference[item.id].score

    changed = [item for item in asked if ours[item.id].answer.strip() != reference[item.id].answer.strip()]
    changed.sort(key=gain)
    by_task: dict[str, list[Asked]] = {}
    for item in changed:
        by_task.setdefault(item.task, []).append(item)
    # The first of each task, then the second of each: one task's many small losses would hide the others.
    turns = itertools.zip_longest(*by_task.values())
    taken = [item for turn in turns for item in turn if item is not None][:MOST_DIFFERENCES]
    return tuple(_shown(item, ours[item.id], reference[item.id]) for item in sorted(taken, key=gain))


def _shown(item: Asked, ours: Given, reference: Given) -> Difference:
    return Difference(
        task=item.task,
        images=tuple(image.load() for image in item.question.images),
        question=item.question.prompt,
        expected=" | ".join(dict.fromkeys(item.question.answers)),
        reference=reference.answer,
        answer=ours.answer,
        reference_score=reference.score,
        score=ours.score,
    )


def _by_task(asked: Sequence[Asked]) -> dict[str, list[str]]:
    tasks: dict[str, list[str]] = {}
    for item in asked:
        tasks.setdefault(item.task, []).append(item.id)
    return tasks
