"""A bundle against the fp32 reference of its checkpoint: each component, then whole answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketvl.evaluate import metrics
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Conversation, Turn, conversations, vision_samples
from pocketvl.export.progress import Progress
from pocketvl.export.tiny import TASKS, make_example, score
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine


@dataclass(frozen=True)
class Check:
    """One figure. `limit` None: reported, not judged."""

    component: str
    sample: str
    metric: str
    value: float
    limit: float | None
    at_least: bool = False  # more is better: the value must reach the limit, not stay below it

    @property
    def passed(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Limits:
    """What a recipe must keep. Wrong lowering shows far outside of them; they are no promise of accuracy."""

    vision_relative_error: float
    logits_difference: float | None
    kl_mean: float
    same_tokens: float | None  # share of the reference's greedy tokens before the first difference


# Measured on the tiny model and on random checkpoints, with room of about three times.
LIMITS = {
    "fp32": Limits(1e-4, 1e-3, 1e-6, 1.0),
    "int8": Limits(0.1, None, 0.1, None),
    "int4": Limits(0.1, None, 0.5, None),
    "int4-small": Limits(0.6, None, 1.0, None),
}
# Weights in float16: what fp16 asks for, and Core ML's fp32.
HALF_PRECISION = Limits(1e-2, None, 1e-2, None)


def verify(
    bundle: Bundle, engine: Engine, reference: Reference, *, max_tokens: int, progress: Progress
) -> Iterator[Check]:
    """Yield the checks as they are made. Raises what engine and reference raise."""
    limits = _limits(bundle)
    components = Components(bundle, engine)
    samples = vision_samples()
    talks = _conversations(bundle) if bundle.manifest.chat else ()
    steps = len(samples) + 2 * len(talks)
    for done, (name, image) in enumerate(samples):
        progress(f"vision {name}", done / steps)
        value, expected = components.encode_image(image), reference.encode_image(image)
        yield Check(
            "vision_encoder",
            name,
            "relative error",
            metrics.relative_error(value, expected),
            limits.vision_relative_error,
        )
        yield Check("vision_encoder", name, "PSNR dB", metrics.psnr(value, expected), None, at_least=True)
    for done, talk in enumerate(talks):
        progress(f"answers: {talk.name}", (len(samples) + 2 * done) / steps)
        yield from _compare(talk, bundle, engine, components, reference, limits, max_tokens)


def _limits(bundle: Bundle) -> Limits:
    """Those of the named recipe with the bits of the bundle's smallest layers."""
    bits = {group.component: 32 for group in bundle.manifest.layers}
    for group in bundle.manifest.layers:
        bits[group.component] = min(bits[group.component], group.bits)
    vision, least = bits.get("vision_encoder", 32), min(bits.values())
    if least == 16 or (least == 32 and bundle.manifest.target == names.COREML):
        return HALF_PRECISION
    if least == 32:
        return LIMITS["fp32"]
    if least == 8:
        return LIMITS["int8"]
    return LIMITS["int4" if vision >= 8 else "int4-small"]


def _conversations(bundle: Bundle) -> tuple[Conversation, ...]:
    """Those that fit into the context; the long one crosses a chunk border."""
    chunk, context = bundle.manifest.prefill_chunk, bundle.manifest.max_context
    return conversations(min(chunk, max(context // 4, 1)))


def _compare(
    talk: Conversation,
    bundle: Bundle,
    engine: Engine,
    components: Components,
    reference: Reference,
    limits: Limits,
    max_tokens: int,
) -> Iterator[Check]:
    """Answers token by token, then the logits along the reference's own answer to the last turn."""
    session = ChatSession(bundle, engine, keep_vision=True, stop_repetition=False)
    answers: list[tuple[int, ...]] = []
    same = total = 0
    for index in range(len(talk.turns)):
        turns = talk.turns[: index + 1]
        prompt = reference.prompt(turns, tuple(answers))
        images = tuple(image for turn in turns for image in turn.images)
        expected = reference.generate(prompt, images, max_tokens)
        got = session.ask(_content(turns[-1]), max_tokens=max_tokens, sampler=Sampler(), lookup=False)
        total += len(expected)
        same += _common(expected, got.token_ids)
        if got.token_ids != expected or reference.forceable(expected) != expected:
            break  # the histories differ from here on, or the reference cannot read its own
        eos = bundle.manifest.special_tokens.eos
        answers.append(tuple(token for token in expected if token not in eos))
    yield Check("answers", talk.name, "same tokens", same / total, limits.same_tokens, at_least=True)
    forced = reference.forceable(expected)[:-1]
    value = components.logits(prompt, forced, images)
    wanted = reference.logits((*prompt, *forced), images, len(forced) + 1)
    yield Check(
        "text_decoder",
        talk.name,
        "max logit difference",
        metrics.largest_difference(value, wanted),
        limits.logits_difference,
    )
    divergence = float(np.mean(metrics.kl_divergence(value, wanted)))
    yield Check("text_decoder", talk.name, "KL, nats per token", divergence, limits.kl_mean)
    agreement = metrics.top1_agreement(value, wanted)
    yield Check("text_decoder", talk.name, "top-1 agreement", agreement, None, at_least=True)


@dataclass(frozen=True)
class TaskScore:
    """Mean score of a task, 0..1 (mean IoU for `point`), over the same held-out examples."""

    task: str
    examples: int
    bundle: float
    reference: float


def accuracy(
    bundle: Bundle, engine: Engine, reference: Reference, *, examples: int, progress: Progress
) -> Iterator[TaskScore]:
    """The tiny model's held-out tasks, answered greedily by both."""
    for done, task in enumerate(TASKS):
        ours, theirs = [], []
        for index in range(examples):
            progress(f"accuracy: {task}", (done + index / examples) / len(TASKS))
            example = make_example(task, index)
            turn = Turn(example.question, example.images)
            session = ChatSession(bundle, engine, keep_vision=True, stop_repetition=False)
            ours.append(
                score(
                    example, session.ask(_content(turn), max_tokens=32, sampler=Sampler(), lookup=False).text
                )
            )
            ids = reference.generate(reference.prompt((turn,), ()), turn.images, 32)
            theirs.append(score(example, reference.decode(ids)))
        yield TaskScore(task, examples, float(np.mean(ours)), float(np.mean(theirs)))


def _content(turn: Turn) -> list[dict[str, Any]]:
    return [
        *({"type": "image", "image": image} for image in turn.images),
        {"type": "text", "text": turn.text},
    ]


def _common(expected: tuple[int, ...], got: tuple[int, ...]) -> int:
    """Tokens before the first difference."""
    for index, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            return index
    return min(len(expected), len(got))
