"""Rotary positions, computed on the host and given in float32, so that no graph knows about them.

Vision: a patch has a row and a column, each turning a quarter of head_dim's frequencies.
Text (M-RoPE): a token has three ids (t, h, w); mrope_section says which frequencies turn by which id.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.geometry import SpecialTokens, TextGeometry, VisionGeometry
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.patches import Grid

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_VISION_THETA = 10000.0


def vision_positions(rows: int, columns: int, merge: int) -> Int64:
    """(rows*columns, 2): row and column of each patch, in the order of patchify's rows."""
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    blocks = grid.reshape(rows // merge, merge, columns // merge, merge, 2)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(-1, 2).astype(np.int64)


def vision_rope(rows: int, columns: int, vision: VisionGeometry) -> tuple[Float32, Float32]:
    """cos and sin (rows*columns, head_dim) for one temporal slice; every slice of a video has the same."""
    positions = vision_positions(rows, columns, vision.spatial_merge_size).astype(np.float32)
    angles = (positions[:, :, None] * vision_frequencies(vision)).reshape(len(positions), -1)
    return _cos_sin(angles)  # row's, then column's


def vision_frequencies(vision: VisionGeometry) -> Float32:
    """(head_dim/4,): radians for each row, and for each column."""
    return _frequencies(_VISION_THETA, vision.head_dim // 2)


def mrope_positions(
    token_ids: Sequence[int], grids: Sequence[Grid], special: SpecialTokens, merge: int, start: int = 0
) -> tuple[Int64, int]:
    """(ids (3, S) int64 as t, h, w; next position) for tokens that follow position start-1.

    `grids` are the patch grids of the images and videos in order of appearance; each stands as
    t*h*w/merge^2 pad tokens. Text goes up by one on all axes; whatever follows a block starts at the
    largest id so far plus one. The next position is where the next call starts. Raises PromptError.
    """
    ids = np.empty((3, len(token_ids)), np.int64)
    remaining = iter(grids)
    index, position = 0, start
    while index < len(token_ids):
        pad = token_ids[index]
        if pad not in (special.image_pad, special.video_pad):
            ids[:, index] = position
            index, position = index + 1, position + 1
            continue
        grid = next(remaining, None)
        if grid is None:
            raise PromptError(
                f"The prompt has more image placeholders than the {len(grids)} images given;"
                " give one image for each."
            )
        block = _block(grid, merge)
        end = index + block.shape[1]
        if list(token_ids[index:end]) != [pad] * block.shape[1]:
            raise PromptError(
                f"An image of {grid} patches needs {block.shape[1]} placeholder tokens in a row at token"
                f" {index}, and the prompt has fewer; build it with PromptEncoder."
            )
        ids[:, index:end] = block + position
        index, position = end, position + int(block.max()) + 1
    if next(remaining, None) is not None:
        raise PromptError(
            f"The prompt has fewer image placeholders than the {len(grids)} images given;"
            " put each image into a message."
        )
    return ids, position


def text_rope(ids: Int64, text: TextGeometry) -> tuple[Float32, Float32]:
    """cos and sin (S, head_dim) for M-RoPE ids (3, S)."""
    axis = np.repeat(np.arange(3), text.mrope_section)  # the axis that turns each frequency
    angles = ids.astype(np.float32)[axis].T * text_frequencies(text)
    return _cos_sin(angles)


def text_frequencies(text: TextGeometry) -> Float32:
    """(head_dim/2,): radians for each step of the axis that mrope_section gives a frequency to."""
    return _frequencies(text.rope_theta, text.head_dim)


def _block(grid: Grid, merge: int) -> Int64:
    """(3, t*h*w/merge^2): t, h and w of an image's tokens, counted from 0."""
    t, h, w = grid
    axes = np.meshgrid(np.arange(t), np.arange(h // merge), np.arange(w // merge), indexing="ij")
    return np.stack(axes).reshape(3, -1)


def _frequencies(theta: float, dim: int) -> Float32:
    """(dim/2,): theta^(-2i/dim). The power is taken in float64, so that every language gets these bits."""
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    powers = np.power(theta, exponents.astype(np.float64)).astype(np.float32)
    return (np.float32(1) / powers).astype(np.float32)


def _cos_sin(angles: Float32) -> tuple[Float32, Float32]:
    """The angles in both halves of a head, since a head's first half is rotated against its second.

    Computed in float64: numpy's float32 cosine is off by a bit that no other language has, and where a graph
    rounds its inputs to 8 bits, one bit can change a token.
    """
    doubled = np.concatenate([angles, angles], axis=1, dtype=np.float64)
    return np.cos(doubled).astype(np.float32), np.sin(doubled).astype(np.float32)
