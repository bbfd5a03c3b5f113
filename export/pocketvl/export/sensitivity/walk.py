"""The float model, block by block, with every layer's choices tried on the way."""

from collections.abc import Sequence

from pocketvl.export.calibration.inputs import SampleInputs
from pocketvl.export.calibration.store import Decisions
from pocketvl.export.calibration.text import TextWalk
from pocketvl.export.calibration.vision import VisionWalk
from pocketvl.export.component import Progress, TensorSource
from pocketvl.export.layer_plan import resolve
from pocketvl.export.sensitivity.choices import Choices
from pocketvl.export.sensitivity.probe import Probe, Trials
from pocketvl.quant.recipe import Recipe, named_recipe
from pocketvl.runtime.errors import CalibrationError


def try_choices(
    source: TensorSource,
    recipe: Recipe,
    choices: Choices,
    inputs: Sequence[SampleInputs],
    keep: bool,
    progress: Progress,
) -> Trials:
    """Errors of every layer under each of its choices, by the recipe's method and calibration settings.

    One block's weights and one stage's activations are in memory at a time; with `keep` the rounded weights
    as well. Raises CalibrationError, CheckpointError.
    """
    pictures = [picture for sample in inputs for picture in sample.pictures]
    if not pictures:
        raise CalibrationError(
            "The calibration data has no picture, so nothing is known about the vision tower; give samples"
            " with pictures."
        )
    geometry = source.geometry
    floats = resolve(named_recipe("fp32"), geometry)  # the walks compute in float whatever bits are tried
    vision = VisionWalk(floats, pictures)
    text = TextWalk(floats, [sample.text for sample in inputs])
    tied = geometry.text.tie_word_embeddings
    probe = Probe(source, recipe.calibration, Decisions(), recipe.method, choices, keep, tied)
    vision_units, text_units = list(vision.units()), list(text.units())
    count = len(vision_units) + len(text_units)
    for index, unit in enumerate(vision_units):
        progress(f"trying bits of {unit}", index / count)
        vision.step(unit, probe)
    text.embed(vision.hidden, probe)
    for index, unit in enumerate(text_units, len(vision_units)):
        progress(f"trying bits of {unit}", index / count)
        text.step(unit, probe)
    return probe.trials
