"""From answers to scores."""

import math

import pytest

from pocketvl.evaluate.data import Question
from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.scores import Asked, Given, differences, mean_of, no_worse, task_scores


def ask(*tasks: str) -> list[Asked]:
    return [
        Asked(str(i), task, Question(str(i), task, (), f"{task} {i}?", ("yes",), (), "exact"))
        for i, task in enumerate(tasks)
    ]


def give(*scores: float) -> dict[str, Given]:
    """The answer is the score."""
    return {str(i): Given(str(score), score) for i, score in enumerate(scores)}


def test_scores_by_task_with_paired_differences() -> None:
    asked = ask("a", "b", "a", "b")
    first, second = task_scores(asked, give(1, 0, 0, 0), give(1, 1, 1, 0))
    assert (first.task, first.questions, first.score.mean) == ("a", 2, 0.5)
    assert first.difference is not None
    assert (first.difference.mean, first.difference.error) == (-0.5, 0.5)
    assert (second.task, second.score.mean) == ("b", 0.0)
    assert task_scores(asked, give(1, 0, 0, 0), None)[0].difference is None


def test_each_task_counts_the_same_in_the_mean() -> None:
    mean = mean_of([Estimate(0.9, 0.03, 100), Estimate(0.5, 0.04, 10)])
    assert mean == Estimate(pytest.approx(0.7), pytest.approx(math.hypot(0.03, 0.04) / 2), 110)
    assert mean_of([]) is None
    assert mean_of([Estimate(0.9, 0.03, 100), None]) is None
    unsure = mean_of([Estimate(0.9, None, 1)])
    assert unsure is not None
    assert unsure.error is None


def test_no_worse_counts_ties() -> None:
    assert no_worse(give(1, 0.5, 0.2, 1), give(1, 0.4, 0.3, 0)) == 0.75


def test_every_task_shows_its_differences_the_greatest_losses_first() -> None:
    asked = ask(*["many"] * 30, "few", "few")
    reference = give(*[0.9] * 30, 1.0, 0.0)
    ours = give(*[0.8] * 29, 0.9, 0.0, 1.0)
    shown = differences(asked, ours, reference)
    assert len(shown) == 12
    assert (shown[0].question, shown[0].reference, shown[0].answer) == ("few 30?", "1.0", "0.0")
    assert [d.task for d in shown] == ["few", *["many"] * 10, "few"]
    assert "many 29?" not in {d.question for d in shown}
