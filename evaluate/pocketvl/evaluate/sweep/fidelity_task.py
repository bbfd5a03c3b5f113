"""Comparing distributions: the reference's answers come first, then every recipe is held against them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pocketvl.evaluate.answers import bundle_sha256
from pocketvl.evaluate.data import Dataset
from pocketvl.evaluate.fidelity import Fidelity, measure_fidelity
from pocketvl.evaluate.reference_cache import ReferenceCache
from pocketvl.evaluate.reference_models import BundleReference
from pocketvl.evaluate.sweep.shards import Shard, load_shard
from pocketvl.evaluate.sweep.store import content_key
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.bundle.strict import to_json
from pocketvl.runtime.engines.open import open_engine


@dataclass(frozen=True)
class ReferenceTask:
    """Fills the folder `outputs` with a file a question; its result is only the number of questions."""

    kind: ClassVar[str] = "reference"
    key: str
    recipe: str
    bundle: Path
    shard: Shard
    max_tokens: int
    outputs: Path

    def perform(self, threads: int, partial: Path) -> Any:
        dataset = load_shard(self.shard)
        cache = _open_cache(self.bundle, self.outputs, self.max_tokens, threads)
        try:
            return len(cache.scores(dataset, _silent))
        finally:
            cache.close()


@dataclass(frozen=True)
class FidelityTask:
    """Its result: a fidelity.Fidelity without its single questions, as an object."""

    kind: ClassVar[str] = "fidelity"
    key: str
    recipe: str
    bundle: Path
    reference: Path
    shards: tuple[Shard, ...]
    max_tokens: int
    outputs: Path

    def perform(self, threads: int, partial: Path) -> Any:
        """The reference itself is loaded only if one of its outputs got lost."""
        bundle = open_bundle(self.bundle)
        cache = _open_cache(self.reference, self.outputs, self.max_tokens, threads)
        engine = open_engine(bundle, threads)
        try:
            fidelity = measure_fidelity(bundle, engine, _merged(self.shards), cache, _silent)
        finally:
            engine.close()
            cache.close()
        return to_json(_summary(fidelity))


def reference_key(bundle: Bundle, shard: Shard, max_tokens: int) -> str:
    return content_key(**_common(bundle, max_tokens), questions=shard.fingerprint)


def fidelity_key(bundle: Bundle, reference: Bundle, shards: Sequence[Shard], max_tokens: int) -> str:
    return content_key(
        **_common(bundle, max_tokens),
        reference=bundle_sha256(reference),
        questions=[shard.fingerprint for shard in shards],
    )


def _common(bundle: Bundle, max_tokens: int) -> dict[str, object]:
    return {
        "bundle": bundle_sha256(bundle),
        "image": bundle.manifest.image,
        "max_tokens": max_tokens,
        "pocketvl": version("pocketvl"),
    }


def _open_cache(bundle: Path, outputs: Path, max_tokens: int, threads: int) -> ReferenceCache:
    opened = open_bundle(bundle)
    return ReferenceCache(outputs, BundleReference(opened, open_engine(opened, threads)), max_tokens)


def _merged(shards: Sequence[Shard]) -> Dataset:
    """All questions as one dataset, each with an id of its own."""
    questions = [
        replace(question, id=f"{shard.data}/{question.id}")
        for shard in shards
        for question in load_shard(shard).questions
    ]
    return Dataset("the sweep", tuple(questions), content_key(parts=[shard.fingerprint for shard in shards]))


def _summary(fidelity: Fidelity) -> Fidelity:
    """JSON has no infinity, which is the PSNR of a vision encoder that differs in nothing."""
    psnr = fidelity.vision_psnr
    finite = psnr if psnr is not None and math.isfinite(psnr) else None
    return replace(fidelity, per_question=(), vision_psnr=finite)


def _silent(step: str, share: float) -> None:
    """The sweep reports whole tasks."""
