"""Integers and scales by turns: each the best for the other, once GPTQ has chosen both from left to right.

GPTQ never comes back to a column that it has rounded, nor to a scale. Going through the columns again with
all others as they are lowers the error of the layer's output further (coordinate descent, QuantEase, arXiv
2309.01885), and for given integers the best scales are those of a least-squares problem, one a row.
"""

import torch

from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.rtn import integer_range, stored_scales

_ROUNDS = 2
_ROWS = 256  # at a time: a least-squares problem of all groups for each
_COLUMNS = 128  # whose changes are passed on together
_RIDGE = 1e-4  # towards the scales that were, as a share of what a group weighs
_FURTHEST = 2.0  # that a scale may go from what it was, as a factor


def refine(
    weight: torch.Tensor, quantized: QuantizedLinear, moments: torch.Tensor, damping: float
) -> QuantizedLinear:
    """The same layer with an error that is smaller or equal in every row.

    weight (out, in): what was quantized, float32. moments (in, in): second moments of the inputs; damping as
    in hessian.factorize. The error of a row e is e (H + damping) e^T.
    """
    damped = moments.clone()
    mean = float(moments.diagonal().mean())
    damped.diagonal().add_(damping * mean if mean > 0 else 1.0)
    integers = torch.from_numpy(quantized.integers).float()
    scales = torch.from_numpy(quantized.scales).clone()
    for first in range(0, len(weight), _ROWS):
        rows = slice(first, first + _ROWS)
        some = _Rows(weight[rows], damped, quantized.bits, integers[rows], scales[rows])
        some.improve()
        integers[rows], scales[rows] = some.integers, some.scales
    stored = integers.to(torch.int8).numpy()
    return QuantizedLinear(stored, scales.numpy(), quantized.bits, quantized.group_size)


class _Rows:
    """integers (rows, in) and scales (rows, groups) for weight (rows, in)."""

    def __init__(
        self,
        weight: torch.Tensor,
        moments: torch.Tensor,
        bits: int,
        integers: torch.Tensor,
        scales: torch.Tensor,
    ) -> None:
        self.weight, self.moments, self.bits = weight, moments, bits
        self.integers, self.scales = integers, scales
        self.group = weight.shape[1] // scales.shape[1]

    def improve(self) -> None:
        for _ in range(_ROUNDS):
            self._take(self.integers, self._fitted_scales())
            self._take(self._descended_integers(), self.scales)
        self._take(self.integers, self._fitted_scales())

    def _take(self, integers: torch.Tensor, scales: torch.Tensor) -> None:
        """Where they are better: rounding may undo what was won."""
        better = self._error(integers, scales) < self._error(self.integers, self.scales)
        self.integers = torch.where(better[:, None], integers, self.integers)
        self.scales = torch.where(better[:, None], scales, self.scales)

    def _error(self, integers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """(rows,)."""
        error = self.weight - integers * scales.repeat_interleave(self.group, 1)
        return ((error @ self.moments) * error).sum(1)

    def _fitted_scales(self) -> torch.Tensor:
        """min over s of |w - sum_g s_g q_g| in the norm of the moments, and near to what s was."""
        rows, count = self.scales.shape
        wanted = ((self.weight @ self.moments) * self.integers).view(rows, count, -1).sum(2)
        products = torch.empty(rows, count, count)
        for place in range(count):
            inside = slice(place * self.group, (place + 1) * self.group)
            part = self.integers[:, inside] @ self.moments[inside]
            products[:, place] = (part * self.integers).view(rows, count, -1).sum(2)
        ridge = products.diagonal(dim1=1, dim2=2).clamp_min(1e-30) * _RIDGE
        wanted += ridge * self.scales
        products.diagonal(dim1=1, dim2=2).add_(ridge)
        fitted = torch.linalg.solve_ex(products, wanted[..., None])[0][..., 0]
        near = (fitted * _FURTHEST > self.scales) & (fitted < self.scales * _FURTHEST)
        return stored_scales(torch.where(near, fitted, self.scales), self.bits)

    def _descended_integers(self) -> torch.Tensor:
        """Each column's best integers in turn, with all others as they are by then."""
        scales = self.scales.repeat_interleave(self.group, 1)
        integers, strength = self.integers.clone(), self.moments.diagonal()
        slopes = (self.weight - integers * scales) @ self.moments
        for start in range(0, len(strength), _COLUMNS):
            columns = slice(start, min(start + _COLUMNS, len(strength)))
            own, corner = slopes[:, columns].clone(), self.moments[columns, columns]
            changes = torch.empty_like(own)
            for place in range(len(corner)):
                column = start + place
                scale, old = scales[:, column], integers[:, column]
                best = own[:, place] / (scale * strength[column])
                best = best.add_(old).round_().clamp_(*integer_range(self.bits))
                changes[:, place] = (best - old) * scale
                integers[:, column] = best
                own.addr_(changes[:, place], corner[place], alpha=-1)
            slopes.addmm_(changes, self.moments[columns], alpha=-1)
        return integers
