"""Which of several bundles is faster on this machine: all are timed by turns, round after round."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvl.evaluate.bench import cores, plan
from pocketvl.evaluate.speed.stages import quick_buckets, time_decoder, time_vision
from pocketvl.export.progress import Progress, part, parts, silent
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import UsageError

LEAST_ROUNDS = 2


@dataclass(frozen=True)
class Turn:
    """What one bundle did in one round: images and tokens a second."""

    vision: float
    prefill: float
    decode: float


@dataclass(frozen=True)
class Contender:
    """One of the bundles; turns in the order of the rounds."""

    folder: str
    target: str
    recipe: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class StageComparison:
    """rates: the median of each bundle. shares: (median, least, most) of each bundle's rate over that of the
    first bundle in the same round. fastest: the index of the bundle that was it in every round, else None."""

    stage: str
    rates: tuple[float, ...]
    shares: tuple[tuple[float, float, float], ...]
    fastest: int | None


@dataclass(frozen=True)
class SpeedComparison:
    """vision_patches: those of the image, one number a bundle."""

    threads: int
    rounds: int
    vision_patches: tuple[int, ...]
    bundles: tuple[Contender, ...]
    stages: tuple[StageComparison, ...]


def compare_speed(
    folders: Sequence[str | Path],
    *,
    threads: int | None = None,
    quick: bool = False,
    decode_tokens: int | None = None,
    rounds: int | None = None,
    progress: Progress = silent,
) -> SpeedComparison:
    """Time the bundles by turns: in each round each is loaded, timed and closed, so that what the machine
    does meanwhile meets all of them, and one model is in memory at a time.

    threads: as many as there are processors unless given. quick: 16 decode steps and 2 rounds instead of 64
    and 3. Raises UsageError for fewer than two bundles or rounds, and what bench_bundle raises.
    """
    tokens, runs = plan(quick, decode_tokens, rounds)
    runs = LEAST_ROUNDS if quick and rounds is None else runs
    if len(folders) < 2 or runs < LEAST_ROUNDS:
        raise UsageError(
            f"{len(folders)} bundles in {runs} rounds cannot be compared; take at least 2 of both."
        )
    progress("opening the bundles, whose files are hashed the first time", 0.0)
    opened = [open_bundle(Path(folder)) for folder in folders]
    count = cores() if threads is None else threads
    turns: list[list[Turn]] = [[] for _ in opened]
    shares = parts(progress, [1.0] * (runs * len(opened)))
    for number, report in enumerate(shares):
        bundle = opened[number % len(opened)]
        name = f"round {number // len(opened) + 1} of {runs}, {bundle.folder.name}"
        turns[number % len(opened)].append(_turn(bundle, count, tokens, _named(report, name)))
    return SpeedComparison(
        threads=count,
        rounds=runs,
        vision_patches=tuple(quick_buckets(bundle.manifest)[-1] for bundle in opened),
        bundles=tuple(
            Contender(str(bundle.folder), bundle.manifest.target, bundle.manifest.recipe, tuple(own))
            for bundle, own in zip(opened, turns, strict=True)
        ),
        stages=tuple(
            compare_stage(stage, [[getattr(turn, stage) for turn in own] for own in turns])
            for stage in ("vision", "prefill", "decode")
        ),
    )


def compare_stage(stage: str, rates: Sequence[Sequence[float]]) -> StageComparison:
    """rates: of each bundle in each round."""
    rounds = list(zip(*rates, strict=True))
    winners = {own.index(max(own)) for own in rounds if own.count(max(own)) == 1}
    agreed = len(winners) == 1 and all(own.count(max(own)) == 1 for own in rounds)
    shares = [[own[index] / own[0] for own in rounds] for index in range(len(rates))]
    return StageComparison(
        stage=stage,
        rates=tuple(statistics.median(own) for own in rates),
        shares=tuple((statistics.median(own), min(own), max(own)) for own in shares),
        fastest=winners.pop() if agreed else None,
    )


def _turn(bundle: Bundle, threads: int, decode_tokens: int, progress: Callable[[str, float], None]) -> Turn:
    engine = open_engine(bundle, threads)
    try:
        buckets = quick_buckets(bundle.manifest)
        _, vision = time_vision(bundle.manifest, engine, buckets, 1, part(progress, 0.0, 0.5))
        engine.vision.release()
        decoder = time_decoder(bundle, engine, decode_tokens, 1, part(progress, 0.5, 1.0))
        return Turn(1 / vision[-1].seconds, decoder.prefill_rate, decoder.decode_rate)
    finally:
        engine.close()


def _named(progress: Progress, name: str) -> Progress:
    return lambda step, share: progress(f"{step} ({name})", share)
