"""Linear layers that read the same inputs are decided together, before what comes after them is computed.

Scales of their inputs go into the norm or the linear layer that the inputs come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from pocketvl.export.calibration.store import Decisions
from pocketvl.export.component import TensorSource
from pocketvl.export.modules import LayerNorm, Linear, RMSNorm
from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.correction import Correction
from pocketvl.quant.folding import folding_scales
from pocketvl.quant.gptq import gptq
from pocketvl.quant.hessian import Factor, factorize, second_moments
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Calibration
from pocketvl.runtime.errors import CheckpointError


@dataclass(frozen=True)
class NormFold:
    """Inputs are a norm's outputs."""

    norm: RMSNorm | LayerNorm

    def possible(self, source: TensorSource) -> bool:
        return True

    def allowed(self, scales: torch.Tensor) -> torch.Tensor:
        """The nearest scales (features,) that can be folded: any."""
        return scales

    def divide(self, scales: torch.Tensor, decisions: Decisions) -> None:
        """From now on the norm gives x / scales."""
        for name, parameter in self.norm.named_parameters():
            parameter.data = parameter.data / scales
            decisions.tensors[f"{self.norm.source}.{name}"] = parameter.data


@dataclass(frozen=True)
class RowsFold:
    """Input i is linear in row rows[i] of a layer before; several inputs may share a row.

    Scales are powers of two, so that dividing a decided row's stored scales is exact and its integers stay.
    """

    leaf: Linear
    rows: torch.Tensor  # int64 (features,)

    def possible(self, source: TensorSource) -> bool:
        """Not where a packed checkpoint brought the layer's integers."""
        return self.leaf.precision.is_float or source.quantized(self.leaf.layer) is None

    def allowed(self, scales: torch.Tensor) -> torch.Tensor:
        """The nearest scales (features,) that can be folded: powers of two, equal where a row is shared."""
        return self._of_rows(scales)[self.rows]

    def divide(self, scales: torch.Tensor, decisions: Decisions) -> None:
        """From now on the layer gives its outputs divided by its rows' scales."""
        divisors, leaf = self._of_rows(scales), self.leaf
        leaf.weight.data = leaf.weight.data / divisors[:, None]
        decided = decisions.quantized.get(leaf.layer)
        if decided is None:
            decisions.tensors[f"{leaf.source}.weight"] = leaf.weight.data
        else:
            stored = decided.scales / divisors.numpy()[:, None]
            decisions.quantized[leaf.layer] = replace(decided, scales=stored)
        if leaf.bias is not None:
            leaf.bias.data = leaf.bias.data / divisors
            decisions.tensors[f"{leaf.source}.bias"] = leaf.bias.data

    def _of_rows(self, scales: torch.Tensor) -> torch.Tensor:
        """(out features of the leaf,): the geometric mean of what a row's inputs ask for; 1 for others."""
        total = torch.zeros(self.leaf.out_features).index_add_(0, self.rows, scales.log2())
        count = torch.zeros_like(total).index_add_(0, self.rows, torch.ones_like(scales))
        return torch.exp2(torch.round(total / count.clamp_min(1)))


Fold = NormFold | RowsFold


@dataclass(frozen=True)
class Decider:
    """Decides stage after stage; `decisions` collects what was decided. layers: those to decide over."""

    source: TensorSource
    calibration: Calibration
    decisions: Decisions
    layers: frozenset[str]

    def decide(
        self,
        leaves: Sequence[Linear],
        x: torch.Tensor,
        token_weights: torch.Tensor,
        fold: Fold | None = None,
        damping: float | None = None,
        wanted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Give the leaves that are among `layers` their rounded weights; the others go on in float. All read
        x (tokens, features), float32.

        fold: what x comes from, if scales can be folded into it. wanted: what the float model has in x's
        place, to make up for what the layers before have lost. Returns x as the artifact's layers will see
        it; as it is where nothing was decided. Raises CalibrationError, CheckpointError.
        """
        if not any(leaf.layer in self.layers for leaf in leaves):
            return x
        given = [self.source.quantized(leaf.layer) for leaf in leaves]
        foldable = fold is not None and self.calibration.folding and fold.possible(self.source)
        if fold is not None and foldable and not any(given):
            x, wanted = self._fold(leaves, x, token_weights, fold, wanted)
        seen = quantized_activations(x)
        moments: torch.Tensor | None = None
        factors: dict[int, Factor] = {}
        correction = None if wanted is None or all(given) else Correction.of(wanted, x, seen, token_weights)
        mean = (token_weights / token_weights.sum()) @ (x if wanted is None else wanted)
        for leaf, decided in zip(leaves, given, strict=True):
            if leaf.layer not in self.layers:
                continue
            integers = decided
            if integers is None:
                moments = second_moments(seen, token_weights, leaf.layer) if moments is None else moments
                group = leaf.precision.group_size or leaf.in_features
                if group not in factors:
                    factors[group] = factorize(
                        moments, group, damping or self.calibration.damping, leaf.layer
                    )
                integers = self._quantize(leaf, factors[group], correction)
                self.decisions.quantized[leaf.layer] = integers
            self._replace(leaf, integers, mean, seen, token_weights)
        return seen

    def _fold(
        self,
        leaves: Sequence[Linear],
        x: torch.Tensor,
        token_weights: torch.Tensor,
        fold: Fold,
        wanted: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weights = [(leaf.weight.detach(), leaf.precision) for leaf in leaves if not leaf.precision.is_float]
        scales = folding_scales(x, token_weights, weights, fold.allowed)
        if scales is None:
            return x, wanted
        fold.divide(scales, self.decisions)
        for leaf in leaves:
            leaf.weight.data = leaf.weight.data * scales
            if leaf.layer not in self.layers:
                self.decisions.tensors[f"{leaf.source}.weight"] = leaf.weight.data
        return x / scales, None if wanted is None else wanted / scales

    def _quantize(self, leaf: Linear, factor: Factor, correction: Correction | None) -> QuantizedLinear:
        weight = leaf.weight.detach()
        if not torch.isfinite(weight).all():
            raise CheckpointError(
                f"the weight of {leaf.layer} holds NaN or infinite values, so it cannot be quantized; check"
                " that the checkpoint was saved and downloaded completely."
            )
        if correction is not None:
            weight = correction.apply(weight, factor, self.calibration.correction)
        return gptq(weight, factor, leaf.precision)

    def _replace(
        self,
        leaf: Linear,
        integers: QuantizedLinear,
        mean: torch.Tensor,
        seen: torch.Tensor,
        token_weights: torch.Tensor,
    ) -> None:
        """The leaf computes with rounded weights from now on; its bias takes up the mean error.

        mean (in,): of what it reads in float.
        """
        rounded = torch.from_numpy(integers.dequantize())
        if leaf.bias is not None:
            share = token_weights / token_weights.sum()
            missing = leaf.weight.detach() @ mean - rounded @ (share @ seen)
            leaf.bias.data = leaf.bias.data + missing
            self.decisions.tensors[f"{leaf.source}.bias"] = leaf.bias.data
        leaf.weight = nn.Parameter(rounded, requires_grad=False)
