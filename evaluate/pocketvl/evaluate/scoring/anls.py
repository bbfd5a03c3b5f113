"""ANLS: the score of DocVQA and InfographicVQA."""

from collections.abc import Sequence

from pocketvl.evaluate.scoring.levenshtein import levenshtein

_THRESHOLD = 0.5  # below it the model read something else


def anls(answers: Sequence[str], answer: str) -> float:
    """Average normalized Levenshtein similarity of one question, 0..1.

    Biten et al. 2019 (arXiv:1905.13648), as the evaluation script of the Robust Reading Competition
    (rrc.cvc.uab.es, task DocVQA) computes it: the distance is taken after lower-casing and collapsing white
    space, but divided by the length of the texts as they came, in upper case.
    """
    best = max(1 - _distance(right, answer) for right in answers)
    return best if best >= _THRESHOLD else 0.0


def _distance(right: str, answer: str) -> float:
    length = max(len(right.upper()), len(answer.upper()))
    return levenshtein(_normalized(right), _normalized(answer)) / length if length else 0.0


def _normalized(text: str) -> str:
    return " ".join(text.lower().split())
