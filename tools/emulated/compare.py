"""What two processors made of the same questions, side by side."""

from dataclasses import dataclass

import numpy as np

from pocketvl.evaluate.metrics import relative_error
from tools.emulated.answers import Answer, Answers

TIE = 1e-3  # of logits: what tests/parity lets two implementations of the same float32 graph differ by


@dataclass(frozen=True)
class Comparison:
    """One bundle's, over all questions. Margins and differences are of logits."""

    questions: int
    inputs: int  # questions whose drawn images and token ids are equal
    equal: int  # answers with equal token ids
    margins: tuple[float, ...]  # of the others: how far the reference preferred its token to the other's
    difference: float  # largest of any logit
    relative: float  # norm of the logits' difference over the reference's norm
    embeddings: float  # the same of image embeddings
    score: tuple[float, float]  # mean, reference's first

    @property
    def ties(self) -> int:
        """Unequal answers that float32's rounding explains."""
        return sum(margin < TIE for margin in self.margins)


def compare(value: Answers, reference: Answers) -> Comparison:
    """Logits must have been forced by the reference's answers. Raises ValueError if questions are missing."""
    pairs = list(zip(value.answers, reference.answers, strict=True))
    logits = [np.concatenate([one.logits for one in side]) for side in zip(*pairs, strict=True)]
    embeddings = [np.concatenate([one.embeddings for one in side]) for side in zip(*pairs, strict=True)]
    different = [pair for pair in pairs if pair[0].ids != pair[1].ids]
    return Comparison(
        questions=len(pairs),
        inputs=sum(one.drawn == other.drawn and one.prompt == other.prompt for one, other in pairs),
        equal=len(pairs) - len(different),
        margins=tuple(margin(one, other) for one, other in different),
        difference=float(np.abs(logits[0] - logits[1]).max()),
        relative=relative_error(logits[0], logits[1]),
        embeddings=relative_error(embeddings[0], embeddings[1]),
        score=(_mean(reference), _mean(value)),
    )


def margin(value: Answer, reference: Answer) -> float:
    """Of the reference's logits where the answers part: its own token's over the other's."""
    shared = min(len(value.ids), len(reference.ids))
    parted = next((at for at in range(shared) if value.ids[at] != reference.ids[at]), None)
    if parted is None:
        raise ValueError(f"One of two answers is the beginning of the other: {value.ids}, {reference.ids}.")
    logits = reference.logits[parted]
    return float(logits[reference.ids[parted]] - logits[value.ids[parted]])


def _mean(answers: Answers) -> float:
    return float(np.mean([one.score for one in answers.answers]))
