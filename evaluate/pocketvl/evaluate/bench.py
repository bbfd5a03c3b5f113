"""Speed, memory and size of a bundle."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pocketvl.evaluate.bandwidth import read_bandwidth
from pocketvl.export.progress import Progress, silent
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.child_process import start_child
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import EngineError, UsageError
from pocketvl.runtime.positions import text_rope, vision_rope

QUESTION_TOKENS = 16  # most tokens of the answer of the question that is asked as a whole


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


@dataclass(frozen=True)
class Bench:
    """Rates in tokens a second, times in seconds, sizes in bytes."""

    recipe: str
    threads: int
    bundle_bytes: int
    decoder_bytes: int  # read once a token: decoder layers and lm_head as stored
    bandwidth: float  # bytes a second streamed, mean of just before and just after decoding
    vision_load: float
    decoder_load: float
    vision: tuple[VisionTime, ...]
    prefill_tokens: int
    prefill_rate: float
    decode_rate: float
    decode_rate_best: float
    question_seconds: float  # a 448x448 question with up to 16 tokens, from its process's start to its end
    time_to_first_token: float
    peak_rss: int  # of the process that answered it

    @property
    def bandwidth_share(self) -> float:
        """Bytes of weights a second while decoding, over what the memory can stream."""
        return self.decode_rate * self.decoder_bytes / self.bandwidth


def bench_bundle(
    bundle: str | Path,
    *,
    threads: int | None = None,
    decode_tokens: int = 64,
    repeats: int = 3,
    progress: Progress = silent,
) -> Bench:
    """Time each stage of a bundle alone, then one question in a process of its own.

    threads: as many as there are processors unless given. decode_tokens: steps of decoding, the median
    counts, at least 2. repeats: runs of each other stage, the best counts, at least 1. Raises UsageError,
    BundleError, EngineError, MissingExtraError.
    """
    if decode_tokens < 2 or repeats < 1:
        raise UsageError(
            f"{decode_tokens} decode tokens in {repeats} repeats cannot be timed; take at least 2 and 1."
        )
    opened = open_bundle(Path(bundle))
    count = cores() if threads is None else threads
    engine = open_engine(opened, count)
    try:
        return _run(opened, engine, count, decode_tokens, repeats, progress)
    finally:
        engine.close()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(
    bundle: Bundle, engine: Engine, threads: int, decode_tokens: int, repeats: int, progress: Progress
) -> Bench:
    manifest = bundle.manifest
    progress("a question in a process of its own", 0.1)
    seconds, first, peak = _one_question(bundle.folder, threads)
    progress("vision", 0.2)
    vision_load, vision = _vision(manifest, engine, repeats, progress)
    engine.vision.release()
    progress("memory bandwidth", 0.6)
    before = read_bandwidth(threads)
    progress("decoder", 0.7)
    decoder = time_decoder(bundle, engine, decode_tokens, repeats)
    # On a shared machine it changes by the minute, so it is taken on both sides of what it is compared with.
    bandwidth = (before + read_bandwidth(threads)) / 2
    return Bench(
        recipe=manifest.recipe,
        threads=threads,
        bundle_bytes=sum(record.size for record in manifest.files),
        decoder_bytes=_decoder_bytes(manifest),
        bandwidth=bandwidth,
        vision_load=vision_load,
        decoder_load=decoder.load,
        vision=vision,
        prefill_tokens=decoder.prefill_tokens,
        prefill_rate=decoder.prefill_rate,
        decode_rate=decoder.decode_rate,
        decode_rate_best=1 / min(decoder.steps),
        question_seconds=seconds,
        time_to_first_token=first,
        peak_rss=peak,
    )


def _decoder_bytes(manifest: Manifest) -> int:
    return sum(group.bytes for group in manifest.layers if group.component in ("text_decoder", "lm_head"))


def _vision(
    manifest: Manifest, engine: Engine, repeats: int, progress: Progress
) -> tuple[float, tuple[VisionTime, ...]]:
    """(load time, best time of each bucket), with noise for pixels: no stage looks at values."""
    vision = manifest.geometry.vision
    random = np.random.default_rng(0)
    loaded = 0.0
    times = []
    for done, patches in enumerate(manifest.buckets):
        progress(f"vision, {patches} patches", 0.2 + 0.4 * done / len(manifest.buckets))
        rows = 2 * vision.spatial_merge_size
        cos, sin = vision_rope(rows, patches // rows, vision)
        pixels = random.standard_normal((len(cos), vision.patch_dim)).astype(np.float32)
        began = time.perf_counter()
        engine.vision.encode(pixels, cos, sin)
        first = time.perf_counter() - began
        runs = [_timed(partial(engine.vision.encode, pixels, cos, sin)) for _ in range(repeats)]
        if done == 0:
            loaded = max(first - min(runs), 0.0)
        times.append(VisionTime(len(cos), len(cos) // vision.merge_area, min(runs)))
    return loaded, tuple(times)


def time_decoder(bundle: Bundle, engine: Engine, decode_tokens: int, repeats: int) -> DecoderTimes:
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

    load = _timed(lambda: step(0)) - _timed(lambda: step(0))
    chunk = manifest.prefill_chunk
    chunks = max(1, min(2, (manifest.max_context - 1) // chunk))

    def prefill() -> None:
        for index in range(chunks):
            feed(index * chunk, chunk)

    best = min(_timed(prefill) for _ in range(repeats))
    start = min(chunks * chunk, manifest.max_context - 1)
    slots = range(start, min(start + decode_tokens, manifest.max_context))
    steps = tuple(_timed(partial(step, slot)) for slot in slots)
    return DecoderTimes(max(load, 0.0), chunks * chunk, best, steps)


def _one_question(folder: Path, threads: int) -> tuple[float, float, int]:
    """(seconds from process start to exit, time to first token, peak RSS) of one 448x448 question."""
    from pocketvl.evaluate.samples import sample_image

    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "question.png"
        sample_image(448, 448).save(image)
        words = (str(folder), str(image), str(threads), str(QUESTION_TOKENS))
        began = time.perf_counter()
        child = start_child(
            "pocketvl.evaluate.one_question", words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, messages = child.communicate()
        seconds = time.perf_counter() - began
    if child.returncode != 0:
        raise EngineError(f"Asking a question failed: {messages.decode(errors='replace').strip()[-2000:]}")
    measured = json.loads(output)
    return seconds, float(measured["time_to_first_token"]), int(measured["peak_rss"])


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
