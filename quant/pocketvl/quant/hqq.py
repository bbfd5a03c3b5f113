"""Half-quadratic refinement of the scales, without zero points.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023), minimise a
sparsity-seeking norm |W - sQ|_p, p < 1, by turns: the part E of the error that counts as outlier is
split off by a shrinkage, then the rest W - E is fitted. There the zero point is fitted; runtimes for
phones want symmetric integers, so here it is the scale: s = <W - E, Q> / <Q, Q>.
"""

import torch

from pocketvl.quant.rtn import nearest_integers, rtn_scales, stored_scales

_NORM = 0.5  # the paper takes 0.7; this one needs a square root instead of a power and fits as well
_ITERATIONS = 2  # more of them change nothing: each start settles at once in a minimum near it
_STARTS = (1.0, 0.94, 0.88, 0.82, 0.76)  # shares of the rtn scale; smaller ones clip the largest weights
_SHARPNESS = 10.0  # of the first shrinkage, in 1 / scale; grows by _GROWTH an iteration
_GROWTH = 1.5


def hqq_scales(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """Scales with a squared error at most that of rtn_scales, group by group.

    groups: float32 (rows, groups, group size), finite. Returns float32 (rows, groups), positive.
    """
    initial = rtn_scales(groups, bits)
    best = initial
    least = torch.full_like(initial, torch.inf)
    for start in _STARTS:
        scales = stored_scales(initial * start, bits)
        sharpness = _SHARPNESS
        for _ in range(_ITERATIONS):
            integers = nearest_integers(groups, scales, bits)
            error = torch.addcmul(groups, integers, scales[..., None], value=-1)
            squared = error.square().sum(-1)
            better = squared < least
            best = torch.where(better, scales, best)
            least = torch.where(better, squared, least)
            # Outliers E are taken off the target: <W - E, Q> = <error - E, Q> + s <Q, Q>.
            inlier = error - _shrink(error, sharpness / scales[..., None])
            norm = integers.square().sum(-1).clamp_min_(1.0)
            fitted = scales + (inlier * integers).sum(-1) / norm
            scales = stored_scales(torch.where(fitted > 0, fitted, scales), bits)
            sharpness *= _GROWTH
    return best


def _shrink(error: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
    """Generalised soft threshold for the norm p: sign(e) max(0, |e| - |e|^(p-1) / sharpness).

    With errors in units of the scale, so that the threshold means the same for every group.
    """
    unit = 1.0 / sharpness
    size = error.abs()
    relative = (size / unit).clamp_min_(1e-6)
    return torch.sign(error) * (size - unit * relative.rsqrt()).clamp_min_(0)
