"""How far results are from what they should be."""

import numpy as np
from numpy.typing import ArrayLike


def relative(value: ArrayLike, wanted: ArrayLike) -> float:
    """Norm of the difference over norm of what was wanted; arrays or tensors of one shape."""
    value, wanted = np.asarray(value), np.asarray(wanted)
    assert value.shape == wanted.shape
    return float(np.linalg.norm(value - wanted) / np.linalg.norm(wanted))
