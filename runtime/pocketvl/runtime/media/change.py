"""Whether a camera's frame shows something else than another one: a difference of thumbnails."""

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 16  # cells along each side
CHANGED = 10  # levels of 0..255: above a camera's noise and its slow adjustments, below most movements

Thumbnail = NDArray[np.int64]


def thumbnail(pixels: NDArray[np.uint8]) -> Thumbnail:
    """(16, 16): mean luma of each cell, 0..255, rounded down, of RGB pixels (height, width, 3).

    Luma is (299 R + 587 G + 114 B) / 1000, rounded down (ITU-R BT.601). Cell i of n pixels begins at pixel
    i * n // 16 and has at least one: whole numbers throughout, so that every language gets the same.
    """
    red, green, blue = (pixels[:, :, channel].astype(np.int64) for channel in range(3))
    luma = (299 * red + 587 * green + 114 * blue) // 1000
    rows, columns = (_cells(size) for size in luma.shape)
    cells = [[_mean(luma[top:bottom, left:right]) for left, right in columns] for top, bottom in rows]
    return np.array(cells, np.int64)


def difference(first: Thumbnail, second: Thumbnail) -> int:
    """Of the cell that differs most, in levels: something small that moves is seen, noise is not."""
    return int(np.abs(first - second).max())


def has_changed(first: Thumbnail, second: Thumbnail, least: int = CHANGED) -> bool:
    """Whether they differ by `least` levels somewhere."""
    return difference(first, second) >= least


def _mean(cell: NDArray[np.int64]) -> int:
    return int(cell.sum()) // cell.size


def _cells(size: int) -> list[tuple[int, int]]:
    starts = [cell * size // THUMBNAIL for cell in range(THUMBNAIL)]
    ends = [max((cell + 1) * size // THUMBNAIL, start + 1) for cell, start in enumerate(starts)]
    return list(zip(starts, ends, strict=True))
