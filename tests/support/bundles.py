"""Bundles for tests, exported as a user would, each of them once in a test run."""

import shutil
from pathlib import Path

from filelock import FileLock

from pocketvl.evaluate.sweep.store import content_key
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from tests.support.quick_exports import spare_repetitions

# Small enough that prompts cross chunk borders and fill the context within a test.
SETTINGS = ExportSettings(buckets=(16, 64, 144), max_context=320, prefill_chunk=32)
# Core ML compiles a function per bucket. 80 patches are exactly an image of 28 x 560.
COREML_SETTINGS = ExportSettings((16, 80, 144), max_context=224, prefill_chunk=32)


class SharedExports:
    """A folder that all processes of a test run export into, each bundle by the first that needs it."""

    def __init__(self) -> None:
        self.folder: Path | None = None  # set by the conftest before the first test

    def get(self, checkpoint: Path | str, recipe: str, settings: ExportSettings, target: str) -> Path:
        """A bundle that nobody may change."""
        assert self.folder is not None
        key = content_key(
            name=Path(checkpoint).name,
            checkpoint=open_checkpoint(str(checkpoint)).fingerprint(),
            recipe=recipe,
            settings=settings,
            target=target,
        )
        kept = self.folder / key
        with FileLock(f"{kept}.lock"):
            if not kept.exists():  # the exporter moves it there whole
                spare_repetitions(target)
                export_bundle(
                    str(checkpoint),
                    kept,
                    recipe=named_recipe(recipe),
                    settings=settings,
                    command="pytest",
                    target=target_for(target),
                )
        return kept


SHARED = SharedExports()


def export_for_test(
    checkpoint: Path | str,
    output: Path,
    recipe: str = "fp32",
    settings: ExportSettings = SETTINGS,
    target: str = names.EXECUTORCH,
) -> Bundle:
    """The bundle in `output`, a copy of the caller's own; exported only if no test has done so before."""
    shutil.copytree(SHARED.get(checkpoint, recipe, settings, target), output)
    return open_bundle(output, verify="always")
