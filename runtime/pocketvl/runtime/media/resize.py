"""Which size an image gets before it is cut into patches. Sizes in pixels unless said."""

import math
from collections.abc import Sequence

from PIL import Image

from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.errors import ImageError

MAX_ASPECT_RATIO = 200


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """(height, width) as multiples of `factor`, near the aspect ratio, about min..max pixels.

    The rule of qwen-vl-utils, the model's own utility. The image processor of transformers has the same,
    except where a side of at most half a factor rounds to nothing: 1000x12 becomes 1008x28 here and 532x28
    there. Very long images may end above max_pixels, because no side goes below `factor`; resize_to_bucket
    bounds those. Raises ImageError beyond 1:200.
    """
    if min(height, width) < 1:
        raise ImageError(f"An image of {width}x{height} pixels has nothing in it; give another one.")
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise ImageError(
            f"An image of {width}x{height} pixels is longer than {MAX_ASPECT_RATIO} times its other side,"
            " which the model cannot take; crop it or cut it into pieces."
        )
    # round() takes halves to the even number: 70 / 28 = 2.5 becomes 2.
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        return _shrink(height, width, factor, max_pixels)
    if new_height * new_width < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        return (
            math.ceil(height * scale / factor) * factor,
            math.ceil(width * scale / factor) * factor,
        )
    return new_height, new_width


def resize_to_bucket(
    height: int, width: int, vision: VisionGeometry, settings: ImageSettings, buckets: Sequence[int]
) -> tuple[int, int]:
    """smart_resize under both the settings' limits and the largest bucket; the result always fits.

    Raises ImageError beyond 1:200.
    """
    room = max(buckets) * vision.patch_size**2  # pixels of the largest bucket
    max_pixels = min(settings.max_pixels, room)
    size = smart_resize(height, width, vision.factor, min(settings.min_pixels, max_pixels), max_pixels)
    if size[0] * size[1] <= room:
        return size
    # Rounding up to the lower limit, or a long side beside one that is `factor` already, went over.
    size = _shrink(height, width, vision.factor, room)
    if size[0] * size[1] <= room:
        return size
    longest = room // vision.factor**2 * vision.factor
    return min(size[0], longest), min(size[1], longest)


def resize_image(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The RGB image at size (height, width), bicubic with antialiasing."""
    height, width = size
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _shrink(height: int, width: int, factor: int, max_pixels: int) -> tuple[int, int]:
    scale = math.sqrt(height * width / max_pixels)
    return (
        max(factor, math.floor(height / scale / factor) * factor),
        max(factor, math.floor(width / scale / factor) * factor),
    )
