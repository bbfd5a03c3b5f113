"""Where the scales of a layer's inputs go: into the norm or the linear layer that the inputs come from."""

from dataclasses import dataclass, replace

import torch

from pocketvl.export.calibration.store import Decisions
from pocketvl.export.component import TensorSource
from pocketvl.export.modules import LayerNorm, Linear, RMSNorm


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
        return self.leaf.bits.is_float or source.quantized(self.leaf.layer) is None

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
