"""Measuring one bundle's speed, with nothing else at work."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pocketvl.evaluate.answers import bundle_sha256
from pocketvl.evaluate.speed.stages import time_decoder
from pocketvl.evaluate.sweep.store import content_key
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engines.open import open_engine

DECODE_TOKENS = 64
ROUNDS = 3  # of all recipes, one after the other: a machine's speed drifts by the minute


@dataclass(frozen=True)
class BenchTask:
    """Its result: {"decode_rate": tokens a second by the median step}, of one round."""

    kind: ClassVar[str] = "speed"
    key: str
    recipe: str
    bundle: Path

    def perform(self, threads: int, partial: Path) -> Any:
        bundle = open_bundle(self.bundle)
        engine = open_engine(bundle, threads)
        try:
            return {"decode_rate": time_decoder(bundle, engine, DECODE_TOKENS, repeats=1).decode_rate}
        finally:
            engine.close()


def bench_key(bundle: Bundle, together: Iterable[Bundle], threads: int, number: int) -> str:
    """Of the round with that number. Speed belongs to a machine as well, and to an hour: bundles are compared
    that were measured `together`, and another one among them means that all are measured again.
    """
    machine = (platform.node(), platform.machine(), os.cpu_count())
    return content_key(
        bundle=bundle_sha256(bundle),
        together=sorted(bundle_sha256(one) for one in together),
        threads=threads,
        round=number,
        machine=machine,
        decode_tokens=DECODE_TOKENS,
        pocketvl=version("pocketvl"),
    )
