"""How far results are from what they should be."""

import numpy as np
import torch
from numpy.typing import ArrayLike


def relative(value: ArrayLike | torch.Tensor, wanted: ArrayLike | torch.Tensor) -> float:
    """Norm of the difference over norm of what was wanted; arrays or tensors of one shape."""
    ours, theirs = _array(value), _array(wanted)
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def _array(value: ArrayLike | torch.Tensor) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
