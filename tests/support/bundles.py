"""Bundles for tests, exported as a user would."""

from pathlib import Path

from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle, open_bundle

# Small enough that prompts cross chunk borders and fill the context within a test.
SETTINGS = ExportSettings(buckets=(16, 64, 144), max_context=320, prefill_chunk=32)


def export_for_test(
    checkpoint: Path | str,
    output: Path,
    recipe: str = "fp32",
    settings: ExportSettings = SETTINGS,
    target: str = names.EXECUTORCH,
) -> Bundle:
    """For one of the targets that compute in float32."""
    export_bundle(
        str(checkpoint),
        output,
        recipe=named_recipe(recipe),
        settings=settings,
        command="pytest",
        target=target_for(target),
    )
    return open_bundle(output)
