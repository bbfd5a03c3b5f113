"""A bundle's folder and its checkpoint's name in, all checks out."""

from dataclasses import dataclass
from pathlib import Path

from pocketvl.evaluate.parity_table import parity_table
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.verify import Check, TaskScore, accuracy, verify
from pocketvl.export.bundle.model_card import check_card, update_parity
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import TINY
from pocketvl.export.progress import Progress, parts, silent
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import PocketVLError

_TINY_EXAMPLES = 20  # of each task it was trained for
_CHECKING = 15  # the checks take as long as so many examples of each task


@dataclass(frozen=True)
class Verification:
    """recipe: the bundle's. accuracy: of each task, empty unless examples were asked for."""

    recipe: str
    checks: tuple[Check, ...]
    accuracy: tuple[TaskScore, ...]

    @property
    def missed(self) -> tuple[Check, ...]:
        """The checks whose limit was missed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether every limit was kept."""
        return not self.missed


def verify_bundle(
    bundle: str | Path,
    against: str | Path,
    *,
    revision: str | None = None,
    max_tokens: int = 64,
    examples: int | None = None,
    update_card: bool = False,
    threads: int | None = None,
    progress: Progress = silent,
) -> Verification:
    """Compare components and whole answers of the bundle with its checkpoint in transformers, in float32.

    against: hub id, local folder or `tiny`; revision: a branch, tag or commit of a hub id. max_tokens: greedy
    tokens compared in each answer. examples: of each of the tiny model's held-out tasks, answered by both;
    None is 20 for `tiny`, else 0. update_card: write the result into the bundle's README.md. Raises
    PocketVLError if the bundle was not exported from that checkpoint, else what opening and running the two
    raises; a missed limit raises nothing.
    """
    folder, source = Path(bundle), str(against)
    opened = open_bundle(folder, verify="always")
    if update_card:
        check_card(folder)
    checkpoint = open_checkpoint(source, revision)
    manifest = opened.manifest
    if checkpoint.geometry != manifest.geometry:
        raise PocketVLError(f"{folder} was not exported from {source}: their geometries differ.")
    wanted = (_TINY_EXAMPLES if source == TINY else 0) if examples is None else examples
    engine = open_engine(opened, threads)
    try:
        progress("loading the reference", 0.0)
        largest = manifest.buckets[-1] * manifest.geometry.vision.patch_size**2
        max_pixels = min(manifest.image.max_pixels, largest)
        reference = Reference(checkpoint.folder, min(manifest.image.min_pixels, max_pixels), max_pixels)
        comparing, scoring = parts(progress, (_CHECKING, wanted))
        checks = tuple(verify(opened, engine, reference, max_tokens=max_tokens, progress=comparing))
        scores: tuple[TaskScore, ...] = ()
        if wanted:
            scores = tuple(accuracy(opened, engine, reference, examples=wanted, progress=scoring))
    finally:
        engine.close()
    if update_card:
        update_parity(folder, parity_table(checks, scores, checkpoint.name))
    return Verification(manifest.recipe, checks, scores)
