"""Exact match."""

from collections.abc import Sequence


def exact_match(answers: Sequence[str], answer: str) -> float:
    """1 if the answer is a right one but for case and the white space around it, else 0."""
    given = answer.strip().casefold()
    return float(any(right.strip().casefold() == given for right in answers))
