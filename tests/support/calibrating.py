"""Calibration of a small checkpoint, to its end or stopped on the way."""

import dataclasses
from pathlib import Path

from pocketvl.export.calibration.calibrate import calibrate
from pocketvl.export.calibration.store import CalibratedSource
from pocketvl.export.checkpoint import Checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.layer_plan import resolve
from pocketvl.quant.recipe import Calibration, Recipe, named_recipe

SETTINGS = ExportSettings(buckets=(64,), max_context=320, prefill_chunk=32)
# Without rotation, so that what is decided can be compared with the checkpoint's own tensors.
RECIPE = dataclasses.replace(
    named_recipe("int4-small", "gptq"), calibration=Calibration(samples=12), rotation=False
)


class StopError(Exception):
    pass


def run(checkpoint: Checkpoint, folder: Path, recipe: Recipe = RECIPE, stop_at: str = "") -> CalibratedSource:
    def progress(step: str, _: float) -> None:
        if stop_at and step.endswith(stop_at):
            raise StopError

    plan = resolve(recipe, checkpoint.geometry, checkpoint)
    calibrate(checkpoint, checkpoint, plan, SETTINGS, checkpoint.image, folder, progress)
    return CalibratedSource(checkpoint, folder)
