"""Relaxed accuracy: the score of ChartQA."""

import math
import re
from collections.abc import Sequence

_TOLERANCE = 0.05
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*", re.ASCII)


def relaxed_accuracy(answers: Sequence[str], answer: str) -> float:
    """1 if the answer is a number within 5 % of a right one, or the same text but for case; else 0.

    Masry et al. 2022 (arXiv:2203.10244, section 5.1) after Methani et al. 2020. `%` divides by 100, and a
    number with commas is a text, as in pix2struct's metrics.py; there a right answer of 0 is compared as
    text, here as a number, so that 0.0 is right.
    """
    return float(any(_correct(right, answer) for right in answers))


def _correct(right: str, answer: str) -> bool:
    target, value = _number(right), _number(answer)
    if target is None or value is None:
        return right.strip().lower() == answer.strip().lower()
    if target == 0:
        return value == 0
    return abs(value - target) / abs(target) <= _TOLERANCE


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    value = float(found[1]) / (100 if found[2] else 1)
    return value if math.isfinite(value) else None
