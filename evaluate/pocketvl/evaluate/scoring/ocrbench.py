"""OCRBench: a right answer must stand somewhere in what was said."""

from collections.abc import Sequence

# Spaces mean nothing in LaTeX, but case does.
HANDWRITTEN_MATHS = "Handwritten Mathematical Expression Recognition"


def contains_answer(answers: Sequence[str], answer: str, task: str) -> float:
    """1 if any right answer is part of the answer, else 0.

    Liu et al. 2023 (arXiv:2305.07895) and its evaluation script: both in lower case with line breaks as
    spaces; for the task of handwritten formulas spaces are taken out and case is kept.
    """
    normalized = _formula if task == HANDWRITTEN_MATHS else _line
    given = normalized(answer)
    return float(any(normalized(right) in given for right in answers))


def _line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _formula(text: str) -> str:
    return text.strip().replace("\n", "").replace(" ", "")
