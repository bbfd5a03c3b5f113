"""Samples with the places where their answers are decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pocketvl.export.calibration.inputs import InputMaker, SampleInputs
from pocketvl.export.calibration.samples import Sample
from pocketvl.runtime.geometry import SpecialTokens


@dataclass(frozen=True)
class Question:
    """deciding: int64, the sample's tokens whose hidden states predict a token of the answer."""

    inputs: SampleInputs
    deciding: torch.Tensor


def make_questions(
    maker: InputMaker, samples: Sequence[Sample], inputs: Sequence[SampleInputs], special: SpecialTokens
) -> list[Question]:
    """inputs: of these samples. A sample without an answer decides at its last token alone."""
    return [
        Question(made, _deciding(maker, sample, made, number, special))
        for number, (sample, made) in enumerate(zip(samples, inputs, strict=True), 1)
    ]


def _deciding(
    maker: InputMaker, sample: Sample, made: SampleInputs, number: int, special: SpecialTokens
) -> torch.Tensor:
    ids = made.text.token_ids
    if sample.answer is None:
        return torch.tensor([len(ids) - 1])
    begin = len(maker.make(replace(sample, answer=None), number).text.token_ids)
    ends = torch.isin(ids[begin:], torch.tensor(special.eos)).nonzero()
    end = begin + int(ends[0]) + 1 if len(ends) else len(ids)
    # Without a template a sample may have an answer that adds no token: then its last one decides.
    return torch.arange(min(begin, len(ids)) - 1, max(end, begin + 1) - 1).clamp_max_(len(ids) - 1)
