"""How far a bundle's distributions are from a reference's, along the reference's own answers.

The figures that llama.cpp's perplexity tool reports (KL divergence, top-1 agreement, perplexity ratio), and
the signal-to-noise ratio of image embeddings.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvl.evaluate import metrics
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.data.question import Dataset, Question
from pocketvl.evaluate.reference_cache import ReferenceCache
from pocketvl.evaluate.reference_output import ReferenceOutput
from pocketvl.evaluate.statistics import clustered_mean
from pocketvl.export.progress import Progress
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.errors import ImageError, PromptError, UsageError


@dataclass(frozen=True)
class QuestionFidelity:
    """One question. KL in nats per token, PSNR in dB."""

    id: str
    tokens: int
    kl_mean: float
    kl_max: float
    top1: float
    nll_difference: float  # candidate's minus reference's, nats per token
    vision_psnr: float | None  # mean over its images; None without images


@dataclass(frozen=True)
class Fidelity:
    """All tokens of all answers. KL(reference || candidate) in nats per token, PSNR in dB."""

    kl_mean: float
    kl_mean_error: float | None  # standard error over questions, None for one
    kl_median: float
    kl_p99: float
    kl_max: float
    top1: float  # share of tokens with the same likeliest continuation
    perplexity_ratio: float  # candidate's over reference's, on the reference's answers
    vision_psnr: float | None  # mean over questions with images, None if there are none
    questions: int  # that both could be asked
    tokens: int
    per_question: tuple[QuestionFidelity, ...]
    left_out: int = 0  # questions that one of the two could not be asked


def measure_fidelity(
    candidate: Bundle, engine: Engine, dataset: Dataset, reference: ReferenceCache, progress: Progress
) -> Fidelity:
    """Feed the candidate the reference's prompts and answers, and compare what each would have said next.

    A question that one of them cannot be asked is left out and counted. One question is in memory at a time.
    `progress` takes a step's name and the share done. Raises UsageError if no question is left.
    """
    components = Components(candidate, engine)
    lines: list[QuestionFidelity] = []
    divergences: list[NDArray[np.float64]] = []
    for number, question in enumerate(dataset.questions):
        progress(f"fidelity: {question.id}", number / len(dataset.questions))
        try:
            output = reference.get(question)
            if len(output.prompt) + len(output.tokens) - 1 > candidate.manifest.max_context:
                continue
            line, divergence = _compare(components, question, output)
        except (ImageError, PromptError):
            continue
        lines.append(line)
        divergences.append(divergence)
    if not lines:
        raise UsageError(f"No question of {dataset.name} could be compared; ask shorter ones.")
    return replace(_summary(lines, divergences), left_out=len(dataset.questions) - len(lines))


def _compare(
    components: Components, question: Question, output: ReferenceOutput
) -> tuple[QuestionFidelity, NDArray[np.float64]]:
    images = [ref.load() for ref in question.images]
    pairs = [(components.encode_image(i), e) for i, e in zip(images, output.embeddings, strict=True)]
    ratios = [metrics.psnr(ours, theirs) for ours, theirs in pairs]
    videos = [video.part for video in question.videos]
    logits = components.logits(output.prompt, output.tokens[:-1], images, videos)
    divergence = metrics.kl_divergence(logits, output.logits)
    difference = _nll(logits, output.tokens) - _nll(output.logits, output.tokens)
    line = QuestionFidelity(
        id=question.id,
        tokens=len(output.tokens),
        kl_mean=float(divergence.mean()),
        kl_max=float(divergence.max()),
        top1=metrics.top1_agreement(logits, output.logits),
        nll_difference=float(difference.mean()),
        vision_psnr=float(np.mean(ratios)) if ratios else None,
    )
    return line, divergence


def _summary(lines: list[QuestionFidelity], divergences: list[NDArray[np.float64]]) -> Fidelity:
    every = np.concatenate(divergences)
    weights = np.array([line.tokens for line in lines])
    mean = clustered_mean([divergence.tolist() for divergence in divergences])
    images = [line.vision_psnr for line in lines if line.vision_psnr is not None]
    return Fidelity(
        kl_mean=mean.mean,
        kl_mean_error=mean.error,
        kl_median=float(np.median(every)),
        kl_p99=float(np.percentile(every, 99)),
        kl_max=float(every.max()),
        top1=float(np.average([line.top1 for line in lines], weights=weights)),
        perplexity_ratio=float(np.exp(np.average([line.nll_difference for line in lines], weights=weights))),
        vision_psnr=float(np.mean(images)) if images else None,
        questions=len(lines),
        tokens=len(every),
        per_question=tuple(lines),
    )


def _nll(logits: Float32, tokens: tuple[int, ...]) -> NDArray[np.float64]:
    """Negative log-likelihood of each token in nats, (tokens,). logits (tokens, vocab_size)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = (
        np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(tokens)), tokens]
    )
    return result
