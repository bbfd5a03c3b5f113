"""Pixels to the rows that the vision encoder reads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.errors import ImageError

Grid = tuple[int, int, int]  # temporal slices, rows and columns of patches


def grid_of(height: int, width: int, vision: VisionGeometry, slices: int = 1) -> Grid:
    """The grid of an image, or of a video of so many temporal slices, in pixels."""
    return slices, height // vision.patch_size, width // vision.patch_size


def patchify(
    frames: Image.Image | Sequence[Image.Image], vision: VisionGeometry, settings: ImageSettings
) -> tuple[NDArray[np.float32], Grid]:
    """(patches (t*h*w, patch_dim) float32, grid (t, h, w)) of a still image or of a video's frames.

    Frames are RGB, of one size, sides multiples of vision.factor (see resize_to_bucket). A still image
    is its frame repeated; a video's frames are taken temporal_patch_size at a time. Rows run over
    (t, h/merge, w/merge, merge, merge), a row over (channel, frame, y, x). Raises ImageError.
    """
    depth, side, merge = vision.temporal_patch_size, vision.patch_size, vision.spatial_merge_size
    stack = [frames] * depth if isinstance(frames, Image.Image) else list(frames)
    pixels = _pixels(stack, vision)
    grid = grid_of(pixels.shape[1], pixels.shape[2], vision, len(stack) // depth)
    blocks = pixels.reshape(
        grid[0], depth, grid[1] // merge, merge, side, grid[2] // merge, merge, side, vision.in_channels
    )
    rows = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, vision.in_channels, depth * side * side)
    levels = _levels(settings)
    patches = np.empty(rows.shape, np.float32)
    for channel in range(vision.in_channels):
        patches[:, channel] = levels[channel][rows[:, channel]]
    return patches.reshape(-1, vision.patch_dim), grid


def _pixels(frames: list[Image.Image], vision: VisionGeometry) -> NDArray[np.uint8]:
    """(frames, height, width, 3) uint8, checked."""
    if not frames or len(frames) % vision.temporal_patch_size:
        raise ImageError(
            f"A video of {len(frames)} frames cannot be taken {vision.temporal_patch_size} at a time;"
            " sample a multiple of that."
        )
    width, height = frames[0].size
    for frame in frames:
        if frame.size != (width, height) or frame.mode != "RGB":
            raise ImageError(
                f"Every frame must be RGB of {width}x{height} pixels like the first, not {frame.mode}"
                f" of {frame.width}x{frame.height}; load and resize all frames alike."
            )
    if height % vision.factor or width % vision.factor:
        raise ImageError(
            f"An image of {width}x{height} pixels has a side that is no multiple of {vision.factor};"
            " resize it with resize_to_bucket first."
        )
    return np.stack([np.asarray(frame) for frame in frames])


def _levels(settings: ImageSettings) -> NDArray[np.float32]:
    """(3, 256) float32: what each 8-bit level of each channel becomes, rounded where the reference rounds."""
    scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    mean = np.array(settings.mean, np.float32)[:, None]
    std = np.array(settings.std, np.float32)[:, None]
    return (scaled - mean) / std
