"""Answering one shard of a dataset with one bundle."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pocketvl.evaluate.answers import answer_questions, bundle_sha256
from pocketvl.evaluate.data import Dataset
from pocketvl.evaluate.results import Result
from pocketvl.evaluate.sweep.shards import Shard, load_shard
from pocketvl.evaluate.sweep.store import content_key
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.bundle.strict import to_json
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import UsageError


@dataclass(frozen=True)
class AnswerTask:
    """Its result: a list of objects as results.Result has them, one a question, in their order."""

    kind: ClassVar[str] = "answers"
    key: str
    recipe: str
    bundle: Path
    shard: Shard
    max_tokens: int

    def perform(self, threads: int, partial: Path) -> Any:
        """`partial` gets a line a question, so that an interrupted shard goes on where it was."""
        bundle = open_bundle(self.bundle)
        dataset = load_shard(self.shard)
        engine = open_engine(bundle, threads)
        try:
            try:
                return to_json(self._answer(bundle, engine, dataset, partial))
            except UsageError:  # the file was damaged
                partial.unlink(missing_ok=True)
                return to_json(self._answer(bundle, engine, dataset, partial))
        finally:
            engine.close()

    def _answer(self, bundle: Bundle, engine: Engine, dataset: Dataset, partial: Path) -> tuple[Result, ...]:
        return answer_questions(
            bundle, engine, dataset, partial, max_tokens=self.max_tokens, progress=lambda step, share: None
        )


def answer_key(bundle: Bundle, shard: Shard, max_tokens: int) -> str:
    return content_key(
        bundle=bundle_sha256(bundle),
        image=bundle.manifest.image,
        questions=shard.fingerprint,
        max_tokens=max_tokens,
        pocketvl=version("pocketvl"),
    )
