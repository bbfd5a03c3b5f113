"""Each stage of a bundle timed alone, with noise for pixels and tokens: no stage looks at values."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pocketvl.export.progress import Progress, silent
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.positions import text_rope, vision_rope

QUESTION_SIDE = 448  # pixels, of the square image by which bundles are compared


@dataclass(frozen=True)
class VisionTime:
    """tokens: that the decoder gets for so many patches."""

    patches: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class DecoderTimes:
    """Seconds."""

    load: float
    prefill_tokens: int
    prefill: float  # the best of several
    steps: tuple[float, ...]  # of one token each, behind those of the prefill

    @property
    def prefill_rate(self) -> float:
        """Tokens a second."""
        return self.prefill_tokens / self.prefill

    @property
    def decode_rate(self) -> float:
        """Tokens a second, by the median step."""
        return 1 / statistics.median(self.steps)


def quick_buckets(manifest: Manifest) -> tuple[int, ...]:
    """The smallest, in which the encoder is loaded, and the one into which a square image of QUESTION_SIDE
    falls, or the largest where none holds it."""
    patches = (QUESTION_SIDE // manifest.geometry.vision.patch_size) ** 2
    holding = [bucket for bucket in manifest.buckets if bucket >= patches]
    return tuple(dict.fromkeys((min(manifest.buckets), min(holding, default=max(manifest.buckets)))))


def vision_cost(patches: int) -> float:
    """Of one run, in a unit of its own: what grows with the patches, and attention, with their square."""
    return patches * (1 + patches / 2000)


def time_vision(
    manifest: Manifest, engine: Engine, buckets: Sequence[int], repeats: int, progress: Progress = silent
) -> tuple[float, tuple[VisionTime, ...]]:
    """(load time, best time of each bucket); the encoder must not be loaded yet.

    A run that does not count comes first in each bucket; with one repeat, in the first alone, which loads.
    """
    vision = manifest.geometry.vision
    random = np.random.default_rng(0)
    total, spent, loaded = sum(map(vision_cost, buckets)), 0.0, 0.0
    times = []
    for number, patches in enumerate(buckets):
        rows = 2 * vision.spatial_merge_size
        cos, sin = vision_rope(rows, patches // rows, vision)
        pixels = random.standard_normal((len(cos), vision.patch_dim)).astype(np.float32)
        encode = partial(engine.vision.encode, pixels, cos, sin)
        first = 0 if number == 0 or repeats > 1 else 1
        runs: list[float] = []
        for run in range(first, repeats + 1):
            step = f"run {run} of {repeats}" if run else "loading" if number == 0 else "warming up"
            progress(f"{patches}-patch image, {step}", spent / total)
            runs.append(_timed(encode))
            spent += vision_cost(patches) / (repeats + 1 - first)
        best = min(runs[1 - first :])
        if number == 0:
            loaded = max(runs[0] - best, 0.0)
        times.append(VisionTime(len(cos), len(cos) // vision.merge_area, best))
    return loaded, tuple(times)


def time_decoder(
    bundle: Bundle, engine: Engine, decode_tokens: int, repeats: int, progress: Progress = silent
) -> DecoderTimes:
    """Up to two chunks of prefill, and steps of decoder and head; the decoder must not be loaded yet."""
    manifest = bundle.manifest
    text = manifest.geometry.text
    table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
    ids = np.random.default_rng(1).integers(0, text.vocab_size, manifest.max_context)

    def feed(start: int, count: int) -> None:
        positions = np.broadcast_to(np.arange(start, start + count), (3, count))
        cos, sin = text_rope(positions, text)
        engine.text.decode(table.gather(ids[start : start + count]), cos, sin, start)

    def step(slot: int) -> None:
        positions = np.full((3, 1), slot)
        cos, sin = text_rope(positions, text)
        engine.text.logits(engine.text.decode(table.gather(ids[slot : slot + 1]), cos, sin, slot))

    progress("loading the decoder", 0.0)
    load = _timed(lambda: step(0)) - _timed(lambda: step(0))
    chunk = manifest.prefill_chunk
    chunks = max(1, min(2, (manifest.max_context - 1) // chunk))

    def prefill() -> None:
        for index in range(chunks):
            feed(index * chunk, chunk)

    prefills = []
    for run in range(repeats):
        progress(f"prefill of {chunks * chunk} tokens, run {run + 1} of {repeats}", 0.3 + 0.4 * run / repeats)
        prefills.append(_timed(prefill))
    start = min(chunks * chunk, manifest.max_context - 1)
    slots = range(start, min(start + decode_tokens, manifest.max_context))
    steps = []
    for number, slot in enumerate(slots):
        progress(f"decode, token {number + 1} of {len(slots)}", 0.7 + 0.3 * number / len(slots))
        steps.append(_timed(partial(step, slot)))
    return DecoderTimes(max(load, 0.0), chunks * chunk, min(prefills), tuple(steps))


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
