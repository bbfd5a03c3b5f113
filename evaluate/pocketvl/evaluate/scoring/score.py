"""From a metric's name to its function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pocketvl.evaluate.scoring.anls import anls
from pocketvl.evaluate.scoring.boxes import box_iou
from pocketvl.evaluate.scoring.choice import choice_score, option_of
from pocketvl.evaluate.scoring.exact import exact_match
from pocketvl.evaluate.scoring.ocrbench import contains_answer
from pocketvl.evaluate.scoring.relaxed import relaxed_accuracy
from pocketvl.evaluate.scoring.vqa import vqa_accuracy
from pocketvl.evaluate.scoring.yesno import yes_or_no, yesno_score
from pocketvl.export.tiny import parse_box

if TYPE_CHECKING:  # data imports scoring
    from pocketvl.evaluate.data.question import Question

_FUNCTIONS: dict[str, Callable[[Question, str], float]] = {
    "anls": lambda question, answer: anls(question.answers, answer),
    "relaxed": lambda question, answer: relaxed_accuracy(question.answers, answer),
    "vqa": lambda question, answer: vqa_accuracy(question.answers, answer),
    "exact": lambda question, answer: exact_match(question.answers, answer),
    "yesno": lambda question, answer: yesno_score(question.answers, answer),
    "choice": lambda question, answer: choice_score(question.choices, question.answers, answer),
    "ocrbench": lambda question, answer: contains_answer(question.answers, answer, question.task),
    "iou": lambda question, answer: box_iou(question.box, answer) if question.box else 0.0,
}
# Metrics that look for one thing in the answer: whether it is there.
_PARSERS: dict[str, Callable[[Question, str], bool]] = {
    "yesno": lambda question, answer: yes_or_no(answer) is not None,
    "choice": lambda question, answer: option_of(answer, question.choices) is not None,
    "iou": lambda question, answer: parse_box(answer) is not None,
}
METRICS: tuple[str, ...] = tuple(_FUNCTIONS)


def score(metric: str, question: Question, answer: str) -> float:
    """How right `answer` is by one of METRICS, 0..1. Raises KeyError for another name."""
    return _FUNCTIONS[metric](question, answer)


def is_parsed(metric: str, question: Question, answer: str) -> bool:
    """Whether `answer` says what the metric looks for: yes or no, one option, a box. Others take any text."""
    return metric not in _PARSERS or _PARSERS[metric](question, answer)
