"""The whole calibration: samples -> vision tower -> decoder -> a source with every integer decided."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from pocketvl.export.calibration.inputs import InputMaker, SampleInputs
from pocketvl.export.calibration.samples import load_samples, samples_fingerprint
from pocketvl.export.calibration.stage import Decider
from pocketvl.export.calibration.store import Decisions, Store
from pocketvl.export.calibration.walks import TextWalk, VisionWalk
from pocketvl.export.checkpoint import Checkpoint
from pocketvl.export.component import ExportSettings, Fingerprinted, TensorSource
from pocketvl.export.estimate import reading_cost, unit_cost
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.progress import Progress, parts
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.errors import CalibrationError


class Calibrated(NamedTuple):
    """sha256: of the data. notes: sentences about images that were not read by the letter."""

    sha256: str
    notes: tuple[str, ...]


def calibrate(
    checkpoint: Checkpoint,
    source: Fingerprinted,
    plan: LayerPlan,
    settings: ExportSettings,
    image: ImageSettings,
    folder: Path,
    progress: Progress,
) -> Calibrated:
    """Decide every layer that the plan calibrates, into `folder`; goes on where it stopped.

    Other layers are only run, in float, as far as the inputs of those come from them. source: the
    checkpoint's weights, perhaps with adapters. One block's weights and one stage's activations are in memory
    at a time. CalibratedSource reads the folder. Raises CalibrationError, CheckpointError.
    """
    progress("reading calibration data", 0.0)
    samples = load_samples(plan.recipe.calibration)
    data = samples_fingerprint(samples)
    maker = InputMaker(checkpoint, image, settings.buckets, settings.max_context)
    inputs = [maker.make(sample, number) for number, sample in enumerate(samples, 1)]
    _check_amount(inputs, plan)
    key = json.dumps(
        [
            source.fingerprint(),
            plan.fingerprint(),
            data,
            repr((settings.buckets, settings.max_context)),
            repr(image),
        ]
    )
    _Run(source, plan, Store(folder, key), inputs, progress).run()
    notes = dict.fromkeys(note for sample in samples for note in sample.notes)
    return Calibrated(data, tuple(notes))


def _check_amount(inputs: list[SampleInputs], plan: LayerPlan) -> None:
    """Fewer tokens than features say nothing about most directions in which a weight can err."""
    tower = [name for name in plan.calibrated if name.startswith(f"{names.VISION_ENCODER}.")]
    if tower and not any(sample.images for sample in inputs):
        more = f" and {len(tower) - 1} more of the vision tower" if len(tower) > 1 else ""
        raise CalibrationError(
            f"The calibration data has no image, but the recipe {plan.recipe.name!r} calibrates"
            f" {tower[0]}{more}, which see nothing else; give samples with images, or a recipe that keeps the"
            " tower at 8 bits, such as int4."
        )
    width = plan.geometry.text.hidden_size
    tokens = sum(len(sample.text.token_ids) for sample in inputs)
    if tokens < width:
        raise CalibrationError(
            f"The calibration data has {tokens} tokens, but a layer has {width} inputs and needs at least as"
            " many; give more samples, longer texts or larger images."
        )


def _last_calibrated(units: Sequence[str], plan: LayerPlan) -> int:
    """The last unit with a layer that calibration decides over; -1 if there is none."""
    holds = [any(f"{name}.".startswith(f"{unit}.") for name in plan.calibrated) for unit in units]
    return max((index for index, own in enumerate(holds) if own), default=-1)


class _Run:
    def __init__(
        self,
        source: TensorSource,
        plan: LayerPlan,
        store: Store,
        inputs: list[SampleInputs],
        progress: Progress,
    ) -> None:
        images = [image for sample in inputs for image in sample.images]
        self._source, self._store = source, store
        self._calibration = plan.recipe.calibration
        self._calibrated = frozenset(plan.calibrated)
        # Without images the tower is not even run.
        self._vision = VisionWalk(plan, images) if images else None
        self._text = TextWalk(plan, [sample.text for sample in inputs])
        self._vision_units = () if self._vision is None else tuple(self._vision.units())
        units = (*self._vision_units, *self._text.units())
        self._units = units[: _last_calibrated(units, plan) + 1]
        patches = sum(len(image.patches) for image in images)
        tokens = sum(len(sample.text.token_ids) for sample in inputs)
        seconds = [unit_cost(unit, patches, tokens, plan) for unit in self._units]
        self._progress = parts(progress, [reading_cost(len(inputs)), *seconds])[1:]

    def run(self) -> None:
        begin = self._resume()
        if self._vision is None and begin == 0:
            self._text.embed(torch.empty(0, self._source.geometry.text.hidden_size), self._source)
        for index, unit in enumerate(self._units[begin:], begin):
            self._progress[index](f"calibrating {unit}", 0.0)
            decider = Decider(self._source, self._calibration, Decisions(), self._calibrated)
            if self._vision is not None and unit in self._vision_units:
                self._vision.step(unit, decider)
                if unit == self._vision_units[-1]:
                    self._text.embed(self._vision.hidden, self._source)
            else:
                self._text.step(unit, decider)
            self._store.finish(unit, decider.decisions, self._walk_after(unit).flow)

    def _walk_after(self, unit: str) -> VisionWalk | TextWalk:
        if self._vision is not None and unit in self._vision_units[:-1]:
            return self._vision
        return self._text

    def _resume(self) -> int:
        """The first unit to do, with the activations that it reads in place."""
        done = 0
        while done < len(self._units) and self._store.has(self._units[done]):
            done += 1
        while done:
            flow = self._store.flow(self._units[done - 1])
            if flow is not None:
                self._walk_after(self._units[done - 1]).flow = flow
                return done
            done -= 1
            self._store.forget(self._units[done])
        return 0
