"""Second moments of a layer's inputs: what an error in each weight costs at its output."""

from dataclasses import dataclass

import torch

from pocketvl.runtime.errors import CalibrationError

_ROWS = 4096  # inputs multiplied at a time
_STRIP = 1024  # features multiplied at a time


def second_moments(x: torch.Tensor, token_weights: torch.Tensor, layer: str) -> torch.Tensor:
    """sum_t w_t x_t x_t^T / sum_t w_t, float32 (features, features), for x (tokens, features), w (tokens,).

    Half the Hessian of the weighted squared error of the layer's output (GPTQ, arXiv 2210.17323, section 3).
    Raises CalibrationError for inputs that are not finite, or if no token counts.
    """
    total = float(token_weights.sum())
    if total <= 0:
        raise CalibrationError(
            f"no token of the calibration data counts for {layer}; raise vision_weight or give samples with"
            " text."
        )
    moments = torch.zeros(x.shape[1], x.shape[1])
    for first in range(0, len(x), _ROWS):
        rows = x[first : first + _ROWS] * (token_weights[first : first + _ROWS, None] / total).sqrt()
        # Only up to the diagonal: the other half is the same.
        for start in range(0, x.shape[1], _STRIP):
            end = start + _STRIP
            moments[start:end, :end].addmm_(rows[:, start:end].T, rows[:, :end])
    moments.tril_()
    moments += moments.tril(-1).T
    if not torch.isfinite(moments.diagonal()).all():
        raise CalibrationError(
            f"the inputs of {layer} are NaN or infinite on the calibration data; check the checkpoint's"
            " weights and the images."
        )
    return moments


@dataclass(frozen=True)
class Factor:
    """upper: float32 (features, features), U with H^-1 = U^T U, features in the order `order`."""

    upper: torch.Tensor
    order: torch.Tensor  # int64 (features,)


def factorize(moments: torch.Tensor, group_size: int, damping: float, layer: str) -> Factor:
    """Cholesky factor of the inverse of damped second moments, largest inputs first.

    Groups of inputs stay together, so no target needs to know the order: groups are sorted by their largest
    input and inputs within their group. damping is a share of the mean of the diagonal. In float32, and in
    float64 if that fails; raises CalibrationError if both do.
    """
    strength = moments.diagonal()
    groups = strength.view(-1, group_size)
    by_group = groups.amax(1).argsort(descending=True, stable=True)
    within = groups.argsort(dim=1, descending=True, stable=True)
    order = (within + torch.arange(len(groups))[:, None] * group_size)[by_group].reshape(-1)
    damped = moments[order][:, order]
    mean = float(strength.mean())
    # An input that is always 0 costs nothing: any positive value keeps the matrix invertible.
    damped.diagonal().add_(damping * mean if mean > 0 else 1.0)
    for dtype in (torch.float32, torch.float64):
        lower, failed = torch.linalg.cholesky_ex(damped.to(dtype))
        if failed:
            continue
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed and torch.isfinite(upper.diagonal()).all():
            return Factor(upper.float(), order)
    raise CalibrationError(
        f"the second moments of {layer}'s inputs are singular; give more calibration samples or a larger"
        f" damping than {damping:g}."
    )
