"""Exporting one recipe into the sweep's cache."""

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pocketvl.evaluate.sweep.store import content_key
from pocketvl.export.calibration.samples import load_samples, samples_fingerprint
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.target import Target
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.errors import BundleError, CheckpointError


@dataclass(frozen=True)
class ExportTask:
    """Its result is the folder itself, which the exporter moves into place when it is complete."""

    kind: ClassVar[str] = "export"
    key: str
    model: str
    revision: str | None
    fingerprint: str  # of the checkpoint, when the sweep began
    target: Target
    bits: Recipe
    settings: ExportSettings
    output: Path

    @property
    def recipe(self) -> str:
        return self.bits.name

    def perform(self, threads: int, partial: Path) -> Any:
        """The number of torch's threads is the process's own; `threads` and `partial` are not needed."""
        manifest = export_bundle(
            self.model,
            self.output,
            target=self.target,
            recipe=self.bits,
            settings=self.settings,
            revision=self.revision,
            overwrite=True,  # a bundle stands there only if it was damaged
            command=f"pocketvl sweep --recipe {self.recipe}",
        )
        if manifest.provenance.source_sha256 != self.fingerprint:
            shutil.rmtree(self.output)
            raise CheckpointError(f"{self.model} has changed since the sweep began; run it again.")


def export_key(model_fingerprint: str, target: Target, recipe: Recipe, settings: ExportSettings) -> str:
    """What decides a bundle's bytes: checkpoint, recipe, shapes, target, and its tools' versions.

    A recipe's calibration counts by its images and prompts, not by the path alone. Raises CalibrationError.
    """
    looked_at = samples_fingerprint(load_samples(recipe.calibration)) if recipe.calibrated else None
    return content_key(
        model=model_fingerprint,
        recipe=recipe.fingerprint(),
        calibration=looked_at,
        name=recipe.name,
        settings=settings,
        target=target.name,
        tools=[version(tool) for tool in ("pocketvl", *target.packages)],
    )


def exported(folder: Path) -> Bundle | None:
    """The bundle of an earlier export, None if there is none or it is damaged."""
    try:
        return open_bundle(folder)
    except BundleError:
        return None
