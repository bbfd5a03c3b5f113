"""Samples of any depth and colour mode to RGB of 8 bits, band by band, so that no second copy is as large."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.runtime.errors import ImageError

_BAND = 1 << 20  # pixels
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")

# Precision that cameras, scanners and detectors deliver in samples of 16.
_DEPTHS = (8, 10, 12, 14, 16)

Note = Callable[[str], None]


def to_rgb(image: Image.Image, name: str, reduction: int, note: Note) -> Image.Image:
    """RGB on white, each side divided by `reduction` (rounded up); `image` itself where nothing is to do.

    Grey of 16 bits is read by the bits that are used, see used_depth; floating-point grey from 0 to 1. `note`
    is called with a sentence about samples that were not read by their full range. Raises ImageError.
    """
    if image.mode == "RGB" and reduction == 1 and not image.has_transparency_data:
        return image
    convert = _converter(image, name, note)
    width, height = image.size
    result = Image.new("RGB", (-(-width // reduction), -(-height // reduction)))
    for top, band in _bands(image, reduction):
        part = convert(band)
        result.paste(part.reduce(reduction) if reduction > 1 else part, (0, top // reduction))
    return result


def array_to_image(array: NDArray[Any], note: Note) -> Image.Image:
    """(height, width), (height, width, 3) RGB or (height, width, 4) RGBA as an image of 8 bits, copied.

    uint8 as it is, uint16 by the bits that are used, floating point from 0 to 1. Raises ImageError.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"An array of shape {array.shape} is no image; give (height, width), (height, width, 3) or"
            " (height, width, 4)."
        )
    if 0 in array.shape:
        raise ImageError(
            f"The given array is {array.shape[1]}x{array.shape[0]} pixels; give one with pixels."
        )
    name = "the given array"
    if array.dtype.kind == "u" and array.itemsize == 2:  # of either byte order
        levels = _by_depth(array, _depth(int(array.max()), name, note))
    elif np.issubdtype(array.dtype, np.floating):
        _check_unit_range(float(array.min()), float(array.max()), name)
        levels = _from_unit_range(array)
    elif array.dtype == np.uint8:
        levels = array
    else:
        raise ImageError(
            f"An array of {array.dtype} is no image; give uint8, uint16, or floating point from 0 to 1."
        )
    return Image.fromarray(np.array(levels, np.uint8, order="C"))


def note_dark_colour(image: Image.Image, name: str, note: Note) -> None:
    """For colour of 16 bits, of which Pillow keeps the high byte: say so where hardly anything is in it."""
    colours = image.getbands()
    if max(np.max(image.getextrema()[index]) for index, band in enumerate(colours) if band != "A") < 16:
        note(
            f"{name} has colour of 16 bits that uses at most 12 of them; it is read by the upper 8, so that"
            " it is nearly black. Save it with 8 bits per channel."
        )


def used_depth(largest: int) -> int:
    """The least usual depth, of 8 to 16 bits, that holds the sample `largest`.

    A file of 16-bit samples seldom says how many bits its data has, and 12-bit data taken for 16 bits is
    nearly black. Full white is taken to be the largest sample of that depth, so that only whole bits are
    dropped: ratios between samples stay, and an image is never stretched to its own brightest point.
    """
    return next(depth for depth in _DEPTHS if largest < 1 << depth)


def _converter(image: Image.Image, name: str, note: Note) -> Callable[[Image.Image], Image.Image]:
    if image.mode in _WIDE:
        low, high = _extremes(image)
        if low < 0 or high > 0xFFFF:
            raise ImageError(
                f"{name} has 32-bit samples from {low:.0f} to {high:.0f}; convert it to 8 or 16 bits."
            )
        depth = _depth(int(high), name, note)
        return lambda band: Image.fromarray(_by_depth(np.asarray(band), depth)).convert("RGB")
    if image.mode == "F":
        _check_unit_range(*_extremes(image), name)
        return lambda band: Image.fromarray(_from_unit_range(np.asarray(band))).convert("RGB")
    return _on_white


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _bands(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """(first row, rows from there on) of some 2^20 pixels, a multiple of `multiple` rows but at the end."""
    rows = max(1, _BAND // image.width // multiple) * multiple
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _extremes(image: Image.Image) -> tuple[float, float]:
    """NaN if there is one."""
    arrays = [np.asarray(band) for _, band in _bands(image)]
    return float(np.min([a.min() for a in arrays])), float(np.max([a.max() for a in arrays]))


def _depth(largest: int, name: str, note: Note) -> int:
    depth = used_depth(largest)
    if depth < 16 and largest:
        note(
            f"{name} has samples of 16 bits that use only {depth} of them (the largest is {largest}); it is"
            f" read as {depth}-bit data. If it is meant to be that dark, save it with 8 bits."
        )
    return depth


def _by_depth(samples: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    return (samples >> (depth - 8)).astype(np.uint8)


def _check_unit_range(low: float, high: float, name: str) -> None:
    if not (low >= 0 and high <= 1):  # also for NaN
        raise ImageError(
            f"{name} has floating-point samples from {low:g} to {high:g}; scale them to 0..1, or convert"
            " to 8 bits."
        )


def _from_unit_range(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(samples * np.float32(255)).astype(np.uint8)
