"""VQA accuracy: the score of VQA v2 and TextVQA, where ten people answered each question."""

import re
from collections.abc import Sequence

from pocketvl.evaluate.scoring.contractions import RESTORED

_ENOUGH = 3  # people who must agree for a whole point
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_BETWEEN_DIGITS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_ARTICLES = ("a", "an", "the")
_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}


def vqa_accuracy(answers: Sequence[str], answer: str) -> float:
    """min(people who said so / 3, 1), averaged over all ways to leave one person out; 0..1.

    Antol et al. 2015 (arXiv:1505.00468), Goyal et al. 2017 (VQA v2), with the answer processing of
    https://visualqa.org/evaluation.html, always applied.
    """
    given = process_answer(answer)
    agree = [process_answer(right) == given for right in answers]
    total = sum(agree)
    return sum(min((total - one) / _ENOUGH, 1.0) for one in agree) / len(agree)


def process_answer(text: str) -> str:
    """Lower case without punctuation and articles, number words as digits, apostrophes restored."""
    words = _without_punctuation(" ".join(text.split())).lower().split()
    words = [_NUMBERS.get(word, word) for word in words]
    return " ".join(RESTORED.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(text: str) -> str:
    """Signs become spaces; those beside a space go, and so do all in a text with a number like 1,000.

    A period goes unless a digit follows.
    """
    numbers = _BETWEEN_DIGITS.search(text) is not None
    result = text
    for sign in _PUNCTUATION:
        beside_space = f"{sign} " in text or f" {sign}" in text
        result = result.replace(sign, "" if beside_space or numbers else " ")
    return _PERIOD.sub("", result)
