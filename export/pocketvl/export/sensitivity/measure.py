"""What each choice of bits costs a layer: errors of its output, turned into KL divergence."""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketvl.export.calibration.inputs import InputMaker, SampleInputs
from pocketvl.export.calibration.samples import Sample, load_samples
from pocketvl.export.checkpoint import Checkpoint
from pocketvl.export.component import ExportSettings, PackedSource
from pocketvl.export.layers import linear_layers
from pocketvl.export.progress import Progress, part
from pocketvl.export.sensitivity.eager import EagerModel, layer_divergences, make_questions
from pocketvl.export.sensitivity.probe import Trials, layer_choices, try_choices
from pocketvl.quant.recipe import Precision, Recipe
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry

_VISION = {"qkv": 0.06, "proj": 0.015, "fc1": 0.02, "fc2": 0.055}
_TEXT = {
    "q_proj": 0.015,
    "k_proj": 0.025,
    "v_proj": 0.07,
    "o_proj": 0.05,
    "gate_proj": 0.045,
    "up_proj": 0.035,
    "down_proj": 0.045,
}
_SINGLE = {
    "vision_encoder.patch_embed": 0.015,
    "vision_encoder.merger.fc1": 0.025,
    "vision_encoder.merger.fc2": 0.015,
    "lm_head": 0.12,
}
# Weights and their rounded copies in float32. Models beyond this are not held in memory as a whole.
_MEASURED_BELOW = 2 * 10**9
_PROBED, _ASKED = 64, 32  # samples, at most: for errors of outputs, and for divergences
_WALK_END = 0.6  # share of the whole


def kl_factor(layer: str, geometry: ModelGeometry) -> float:
    """Nats of KL for noise as large as the layer's output, where that is not measured.

    KL = factor / blocks x noise, since a block adds one of so many shares to the sum of all. The factors are
    medians of what layer_divergences measured on the tiny model, gptq over round-to-nearest noise
    (docs/decisions/0007-mixed-precision.md). For another model they say which kinds of layers matter more,
    and only roughly by how much the KL grows.
    """
    if layer in _SINGLE:
        return _SINGLE[layer]
    kind = layer.rpartition(".")[2]
    if layer.startswith("vision_encoder."):
        return _VISION[kind] / geometry.vision.depth
    return _TEXT[kind] / geometry.text.num_layers


@dataclass(frozen=True)
class Sensitivity:
    """kl_cost: layer -> bits that it may take -> nats of KL a token of the answers, fewest bits first.

    measured: whether each layer was rounded in the model by itself, or its KL comes from kl_factor.
    """

    kl_cost: dict[str, dict[Precision, float]]
    measured: bool


def can_measure(geometry: ModelGeometry) -> bool:
    """Whether the model is small enough to be held in memory as a whole, twice."""
    weights = sum(layer.weights for layer in linear_layers(geometry))
    return 8 * weights < _MEASURED_BELOW


def measure_sensitivity(
    checkpoint: Checkpoint,
    source: PackedSource,
    recipe: Recipe,
    settings: ExportSettings,
    image: ImageSettings,
    progress: Progress,
) -> Sensitivity:
    """Try all choices of bits, with the recipe's method, on its calibration data.

    recipe: only its method and calibration count. source: the checkpoint's weights, perhaps with adapters.
    Measured is one choice a layer, and the others follow by the errors of the layer's output, since KL grows
    with the square of a small error. A large model's blocks are in memory one at a time and factors stand
    for the measurement. Raises CalibrationError, CheckpointError.
    """
    progress("reading calibration data", 0.0)
    measured = can_measure(source.geometry)
    samples = load_samples(recipe.calibration)[:_PROBED]
    maker = InputMaker(checkpoint, image, settings.buckets, settings.max_context)
    inputs = [maker.make(sample, number) for number, sample in enumerate(samples, 1)]
    choices = layer_choices(source.geometry, source.fixed_bits)
    trials = try_choices(
        source, recipe, choices, inputs, measured, part(progress, 0.0, _WALK_END if measured else 1.0)
    )
    if measured:
        asked = [number for number, made in enumerate(inputs) if made.images][:_ASKED]
        divergences = _divergences(
            checkpoint,
            source,
            maker,
            [samples[number] for number in asked],
            [inputs[number] for number in asked],
            trials,
            part(progress, _WALK_END, 1.0),
        )
    else:
        divergences = {}
    return Sensitivity(_damage(source.geometry, trials, divergences), measured)


def _divergences(
    checkpoint: Checkpoint,
    source: PackedSource,
    maker: InputMaker,
    samples: Sequence[Sample],
    inputs: Sequence[SampleInputs],
    trials: Trials,
    progress: Progress,
) -> dict[str, float]:
    questions = make_questions(maker, samples, inputs, checkpoint.special_tokens)
    return layer_divergences(EagerModel(source, questions), trials.rounded, progress)


def _damage(
    geometry: ModelGeometry, trials: Trials, divergences: dict[str, float]
) -> dict[str, dict[Precision, float]]:
    kl_cost = {}
    for layer in linear_layers(geometry):
        noise = trials.noise[layer.name]
        if layer.name in divergences:
            factor = divergences[layer.name] / max(noise[trials.tried[layer.name]], 1e-30)
        else:
            factor = kl_factor(layer.name, geometry)
        kl_cost[layer.name] = {precision: factor * own for precision, own in noise.items()}
    return kl_cost
