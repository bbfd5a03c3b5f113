"""The float model, block by block, with the errors of every layer under each bits that it may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from pocketvl.export.calibration.inputs import SampleInputs
from pocketvl.export.calibration.stage import Decider, Fold, NormFold
from pocketvl.export.calibration.store import Decisions
from pocketvl.export.calibration.walks import TextWalk, VisionWalk
from pocketvl.export.component import TensorSource
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.export.modules import Linear
from pocketvl.export.progress import Progress
from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.folding import folding_scales
from pocketvl.quant.gptq import best_scales, gptq
from pocketvl.quant.hessian import factorize, second_moments
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import CALIBRATED_METHODS, Precision, Recipe, named_recipe
from pocketvl.quant.rtn import nearest_integers, rtn_scales
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import CalibrationError, CheckpointError

# The smallest first. Larger groups than 128 save less than 1.5 % of a layer.
CHOICES = (Precision(4, 128), Precision(4, 64), Precision(4, 32), Precision(8))
Choices = dict[str, tuple[Precision, ...]]  # layer, as recipes call it -> what it may take
_ROWS = 512  # of a weight, evenly spread, stand for all in the estimate: rows are rounded independently
_WIDEST = Precision(4, 32)


def layer_choices(geometry: ModelGeometry, fixed: Mapping[str, Precision]) -> Choices:
    """All of CHOICES that divide a layer's inputs; a single one where `fixed` (layer -> bits) decides.

    8 bits fit every layer, and are all that a patch embedding of 1176 inputs can take.
    """
    return {
        layer.name: (fixed[layer.name],)
        if layer.name in fixed
        else tuple(precision for precision in CHOICES if precision.fits(layer.in_features))
        for layer in linear_layers(geometry)
    }


@dataclass(frozen=True)
class Rounded:
    """A layer's weight (out, in) as it comes out of rounding, and the bias that goes with it; float32."""

    weight: torch.Tensor
    bias: torch.Tensor | None


@dataclass(frozen=True)
class Trials:
    """noise: layer -> bits -> what rounding adds to the output, as a share of the output's power.

    rounded: layer -> its weight under the bits in `tried`, for layers with a choice where they are kept.
    """

    noise: dict[str, dict[Precision, float]] = field(default_factory=dict)
    rounded: dict[str, Rounded] = field(default_factory=dict)
    tried: dict[str, Precision] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe(Decider):
    """Goes where a calibration goes, but lets the model compute in float and only notes down errors."""

    method: str
    choices: Choices
    keep: bool  # the rounded weights, too: as much memory as the model in float32
    tied: bool  # the head's rows are token embeddings as well
    trials: Trials = field(default_factory=Trials)

    def decide(
        self,
        leaves: Sequence[Linear],
        x: torch.Tensor,
        token_weights: torch.Tensor,
        fold: Fold | None = None,
        damping: float | None = None,
        wanted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Try every choice of each leaf; gives x back as it is. Raises CalibrationError, CheckpointError."""
        open_leaves = [leaf for leaf in leaves if self.source.quantized(leaf.layer) is None]
        for leaf in leaves:
            if leaf not in open_leaves:  # a packed checkpoint's own integers: nothing is rounded
                self.trials.noise[leaf.layer] = dict.fromkeys(self.choices[leaf.layer], 0.0)
        if open_leaves:
            # Scales for a linear layer before depend on how that was decided, so only norms' are tried.
            foldable = isinstance(fold, NormFold) and self.calibrated and len(open_leaves) == len(leaves)
            scales = self._folding(leaves, x, token_weights) if foldable else None
            stage = _Stage(self, open_leaves, x, token_weights, scales, damping or self.calibration.damping)
            for leaf in open_leaves:
                stage.try_choices(leaf)
        return x

    @property
    def calibrated(self) -> bool:
        """Whether the method passes errors on, folds scales and lets biases make up for mean errors."""
        return self.method in CALIBRATED_METHODS

    def _folding(
        self, leaves: Sequence[Linear], x: torch.Tensor, token_weights: torch.Tensor
    ) -> torch.Tensor | None:
        if not self.calibration.folding:
            return None
        # What is folded hardly depends on the bits, so one choice stands for all.
        precision = _WIDEST if leaves[0].in_features % 32 == 0 else Precision(8)
        return folding_scales(x, token_weights, [(leaf.weight.detach(), precision) for leaf in leaves])


class _Stage:
    """Layers that read the same inputs x (tokens, features), divided by `scales` if there are any."""

    def __init__(
        self,
        probe: Probe,
        leaves: Sequence[Linear],
        x: torch.Tensor,
        token_weights: torch.Tensor,
        scales: torch.Tensor | None,
        damping: float,
    ) -> None:
        self.probe, self.damping = probe, damping
        self.scales = torch.ones(x.shape[1]) if scales is None else scales
        seen = quantized_activations(x / self.scales)
        self.moments = second_moments(seen, token_weights, leaves[0].layer)
        self.mean = (token_weights / token_weights.sum()) @ seen

    def try_choices(self, leaf: Linear) -> None:
        weight = leaf.weight.detach()
        if not torch.isfinite(weight).all():
            raise CheckpointError(
                f"the weight of {leaf.layer} holds NaN or infinite values, so it cannot be quantized; check"
                " that the checkpoint was saved and downloaded completely."
            )
        choices, trials = self.probe.choices[leaf.layer], self.probe.trials
        spread = torch.linspace(0, len(weight) - 1, min(_ROWS, len(weight))).round().long()
        some = weight[spread] * self.scales
        trials.noise[leaf.layer] = {
            precision: self._noise(some, self._nearest(some, precision, leaf), leaf) for precision in choices
        }
        if self.probe.keep:
            trials.tried[leaf.layer] = _measured(choices)
            trials.rounded[leaf.layer] = self._kept(leaf, weight * self.scales, _measured(choices))

    def _nearest(self, weight: torch.Tensor, precision: Precision, leaf: Linear) -> torch.Tensor:
        """As the method rounds, but without GPTQ's passing on of errors, which takes a hundred times as long
        and gains about the same share under all choices."""
        if not self.probe.calibrated:
            return self._round(weight, precision, leaf)
        groups = weight.view(len(weight), -1, precision.group_size or leaf.in_features)
        if precision.bits == 4:
            importance = self.moments.diagonal().clamp_min(1e-30).view(groups.shape[1:])
            scales = best_scales(groups, importance, precision.bits)
        else:
            scales = rtn_scales(groups, precision.bits)
        return nearest_integers(groups, scales, precision.bits).mul_(scales[..., None]).view_as(weight)

    def _round(self, weight: torch.Tensor, precision: Precision, leaf: Linear) -> torch.Tensor:
        if self.probe.calibrated:
            group = precision.group_size or leaf.in_features
            quantized = gptq(weight, factorize(self.moments, group, self.damping, leaf.layer), precision)
        else:
            quantized = quantize_linear(weight, precision, self.probe.method, leaf.layer)
        return torch.from_numpy(quantized.dequantize())

    def _noise(self, weight: torch.Tensor, rounded: torch.Tensor, leaf: Linear) -> float:
        """tr(D H D^T) / tr(W H W^T) with D the error and H the inputs' second moments (GPTQ, section 3)."""
        error = weight - rounded
        smallest = torch.finfo(torch.float32).tiny  # weights of zeros lose nothing
        power = float(((weight @ self.moments) * weight).sum())
        lost = float(((error @ self.moments) * error).sum())
        if leaf.bias is not None and self.probe.calibrated:  # it takes up the mean
            lost -= float((error @ self.mean).square().sum())
        noise = max(lost, 0.0) / max(power, smallest)
        if self.probe.tied and leaf.layer == names.LM_HEAD:
            # Of the embeddings themselves.
            noise += float(error.square().sum() / weight.square().sum().clamp_min(smallest))
        return noise

    def _kept(self, leaf: Linear, weight: torch.Tensor, precision: Precision) -> Rounded:
        rounded = self._round(weight, precision, leaf)
        bias = None if leaf.bias is None else leaf.bias.detach()
        if bias is not None and self.probe.calibrated:
            bias = bias + (weight - rounded) @ self.mean
        return Rounded(rounded / self.scales, bias)


def _measured(choices: tuple[Precision, ...]) -> Precision:
    """The choice whose KL is measured: the most bits of 4, whose KL is well above others' noise."""
    four = [precision for precision in choices if precision.bits == 4]
    return four[-1] if four else choices[0]


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
    images = [image for sample in inputs for image in sample.images]
    if not images:
        raise CalibrationError(
            "The calibration data has no image, so nothing is known about the layers of the vision tower,"
            " whose bits are chosen as well; give samples with images."
        )
    geometry = source.geometry
    floats = resolve(named_recipe("fp32"), geometry)  # the walks compute in float whatever bits are tried
    vision = VisionWalk(floats, images)
    text = TextWalk(floats, [sample.text for sample in inputs])
    tied = geometry.text.tie_word_embeddings
    # Nothing is decided, so there is nothing to make up for.
    calibration = replace(recipe.calibration, correction=0.0)
    probe = Probe(source, calibration, Decisions(), frozenset(), recipe.method, choices, keep, tied)
    vision_units, text_units = list(vision.units()), list(text.units())
    count = len(vision_units) + len(text_units)
    for index, unit in enumerate(vision_units):
        progress(f"trying bits of {unit}", index / count)
        vision.step(unit, probe)
    text.embed(vision.hidden, source)
    for index, unit in enumerate(text_units, len(vision_units)):
        progress(f"trying bits of {unit}", index / count)
        text.step(unit, probe)
    return probe.trials
