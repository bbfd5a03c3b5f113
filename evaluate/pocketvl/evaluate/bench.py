"""Speed, memory and size of a bundle."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvl.evaluate.bandwidth import read_bandwidth
from pocketvl.evaluate.speed.stages import (
    QUESTION_SIDE,
    VisionTime,
    quick_buckets,
    time_decoder,
    time_vision,
    vision_cost,
)
from pocketvl.export.progress import Progress, parts, silent
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.child_process import start_child
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import EngineError, UsageError

_USUAL_PATCHES = 1024  # an image of so many is what the weights of progress count in
QUESTION_TOKENS = 16  # most tokens of the answer of the question that is asked as a whole


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
    quick: bool = False,
    decode_tokens: int | None = None,
    repeats: int | None = None,
    progress: Progress = silent,
) -> Bench:
    """Time each stage of a bundle alone, and before them one question in a process of its own.

    threads: as many as there are processors unless given. quick: of vision only the smallest bucket and
    that of a 448x448 image, and fewer runs. decode_tokens: steps of decoding, the median counts, at least
    2; 64 unless given, quick 16. repeats: runs of each other stage, the best counts, at least 1; 3 unless
    given, quick 1. Raises UsageError, BundleError, EngineError, MissingExtraError.
    """
    tokens, runs = plan(quick, decode_tokens, repeats)
    progress("opening the bundle, whose files are hashed the first time", 0.0)
    opened = open_bundle(Path(bundle))
    buckets = quick_buckets(opened.manifest) if quick else opened.manifest.buckets
    count = cores() if threads is None else threads
    engine = open_engine(opened, count)
    try:
        return _run(opened, engine, count, buckets, tokens, runs, progress)
    finally:
        engine.close()


def plan(quick: bool, decode_tokens: int | None, repeats: int | None) -> tuple[int, int]:
    """(decode tokens, repeats), those of the mode where None is given. Raises UsageError."""
    tokens = (16 if quick else 64) if decode_tokens is None else decode_tokens
    runs = (1 if quick else 3) if repeats is None else repeats
    if tokens < 2 or runs < 1:
        raise UsageError(f"{tokens} decode tokens in {runs} repeats cannot be timed; take at least 2 and 1.")
    return tokens, runs


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(
    bundle: Bundle,
    engine: Engine,
    threads: int,
    buckets: Sequence[int],
    decode_tokens: int,
    repeats: int,
    progress: Progress,
) -> Bench:
    manifest = bundle.manifest
    images = (repeats + 1) * sum(map(vision_cost, buckets)) / vision_cost(_USUAL_PATCHES)
    asking, seeing, reading, decoding, again = parts(progress, (6, 1 + images, 1, 2 + repeats, 1))
    asking("question in a process of its own", 0.0)
    seconds, first, peak = _one_question(bundle.folder, threads)
    vision_load, vision = time_vision(manifest, engine, buckets, repeats, seeing)
    engine.vision.release()
    reading("bandwidth of the memory, before", 0.0)
    before = read_bandwidth(threads, repeats=repeats + 2)
    decoder = time_decoder(bundle, engine, decode_tokens, repeats, decoding)
    # On a shared machine it changes by the minute, so it is taken on both sides of what it is compared with.
    again("bandwidth of the memory, after", 0.0)
    bandwidth = (before + read_bandwidth(threads, repeats=repeats + 2)) / 2
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


def _one_question(folder: Path, threads: int) -> tuple[float, float, int]:
    """(seconds from process start to exit, time to first token, peak RSS) of one 448x448 question."""
    from pocketvl.evaluate.samples import sample_image

    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "question.png"
        sample_image(QUESTION_SIDE, QUESTION_SIDE).save(image)
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
