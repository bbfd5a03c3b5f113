"""Measuring one bundle's speed, with nothing else at work."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pocketvl.evaluate.answers import bundle_sha256
from pocketvl.evaluate.bench import run_bench
from pocketvl.evaluate.sweep.store import content_key
from pocketvl.runtime.bundle import Bundle, open_bundle
from pocketvl.runtime.engines import open_engine
from pocketvl.runtime.strict import to_json

DECODE_TOKENS = 64


@dataclass(frozen=True)
class BenchTask:
    """Its result: a bench.Bench as an object."""

    kind: ClassVar[str] = "speed"
    key: str
    recipe: str
    bundle: Path

    def perform(self, threads: int, partial: Path) -> Any:
        bundle = open_bundle(self.bundle)
        engine = open_engine(bundle, threads)
        try:
            bench = run_bench(
                bundle,
                engine,
                threads=threads,
                decode_tokens=DECODE_TOKENS,
                repeats=1,
                progress=lambda step, share: None,
            )
        finally:
            engine.close()
        return to_json(bench)


def bench_key(bundle: Bundle, together: Iterable[Bundle], threads: int) -> str:
    """Speed belongs to a machine as well, and to an hour: bundles are compared that were measured `together`,
    and another one among them means that all are measured again.
    """
    machine = (platform.node(), platform.machine(), os.cpu_count())
    return content_key(
        bundle=bundle_sha256(bundle),
        together=sorted(bundle_sha256(one) for one in together),
        threads=threads,
        machine=machine,
        decode_tokens=DECODE_TOKENS,
        pocketvl=version("pocketvl"),
    )
