"""Weights in IEEE's half precision."""

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import ExportError


def as_float16(values: NDArray[np.float32], what: str, remedy: str) -> NDArray[np.float16]:
    """Rounded to the nearest float16. what: whose values these are, for the error; remedy: its last clause.

    Raises ExportError where a value is beyond float16's 65504.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded: NDArray[np.float16] = np.ascontiguousarray(values, np.float16)
    if not np.isfinite(rounded).all():
        raise ExportError(
            f"Values of {what} reach {np.abs(values).max():.5g}, but float16 ends at 65504; {remedy}."
        )
    return rounded
