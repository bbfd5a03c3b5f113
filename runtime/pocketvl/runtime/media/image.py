"""An image from a path, bytes, a URL, Pillow or numpy, as upright RGB without surprises."""

import contextlib
import hashlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from pocketvl.runtime.errors import ImageError, PocketVLError
from pocketvl.runtime.files import regular_size
from pocketvl.runtime.media.image_format import MOST_PIXELS, check_pixels, open_encoded
from pocketvl.runtime.media.image_samples import array_to_image, note_dark_colour, to_rgb
from pocketvl.runtime.media.image_source import MOST_BYTES, decode_base64, resolve_source
from pocketvl.runtime.media.resize import resize_image

__all__ = ["MOST_BYTES", "OpenedImage", "content_key", "decode_base64", "load_image", "open_image"]

# Images of up to so many pixels are decoded whole, exactly as the reference does. Larger ones are reduced
# while they are decoded, by the least factor that brings them below.
WHOLE_PIXELS = 1 << 25
_JPEG_REDUCTIONS = (2, 4, 8)  # what DCT scaling offers
_OTHER_REDUCTIONS = range(2, 17)

_ORIENTATION = 0x0112  # EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class OpenedImage:
    """An image whose upright size is known; read() gives its pixels. A JPEG is not decoded before."""

    def __init__(self, image: Image.Image, name: str, given: bool) -> None:
        """`given` images belong to the caller and are not changed. Raises ImageError."""
        self._image = image
        self._name = name
        self._given = given
        self._wide_colour = _is_wide_colour(image)
        self._scalable = isinstance(image, JpegImagePlugin.JpegImageFile) and not given
        if not self._scalable:  # orientation may come after the pixels, or be applied with them
            with _damage_named(name):
                image.load()
        self._orientation = _orientation(image)
        self.size = self._at_rest(image.size[::-1])  # (height, width) of the upright image, in pixels
        self.notes: list[str] = []  # sentences about what was not read by the letter, complete after read()

    def read(self, size: tuple[int, int] | None = None) -> Image.Image:
        """RGB, 8 bits, upright, transparency on white; of an animation the first frame. Call it once.

        `size` is the (height, width) to which it is resized by resize_image. Of more than 2^25 pixels, each
        side is first divided by the least whole number (for JPEG 2, 4 or 8) that leaves fewer (of progressive
        JPEG a quarter as many), but no side becomes shorter than `size`; of photographs the result differs by
        less than one level on average. Raises ImageError.
        """
        wanted = self._at_rest(size or (1, 1))
        with _damage_named(self._name):
            large = math.prod(self.size) > WHOLE_PIXELS
            rgb = self._decode(wanted)
            if self._given and rgb is self._image:
                rgb = rgb.copy()
            if size and large:  # turning it first would hold it twice
                rgb = resize_image(rgb, wanted)
            if self._orientation in _UPRIGHT:
                rgb = rgb.transpose(_UPRIGHT[self._orientation])
            return resize_image(rgb, size) if size and not large else rgb

    def _at_rest(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) as displayed from as stored, or the other way round."""
        return (size[1], size[0]) if self._orientation >= 5 else size

    def _decode(self, at_least: tuple[int, int]) -> Image.Image:
        """RGB as stored."""
        image, name = self._image, self._name
        if self._scalable and (factor := _jpeg_reduction(image, at_least)) > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        image.load()
        if not self._given:
            self._image = Image.new("1", (1, 1))  # frees the decoded one as soon as it is converted
        if self._wide_colour:
            note_dark_colour(image, name, self.notes.append)
        factor = _reduction(image, at_least, _OTHER_REDUCTIONS)
        return to_rgb(image, name, factor, self.notes.append)


@contextlib.contextmanager
def open_image(source: Any) -> Iterator[OpenedImage]:
    """Read an image's header. Raises ImageError, MissingExtraError.

    `source` is a path (str or PathLike), a file: or data: URL, base64, bytes, bytearray, memoryview, a file
    opened in binary mode, a Pillow image, or a numpy array: (height, width), (height, width, 3) RGB or
    (height, width, 4) RGBA, of uint8, uint16 or floating point from 0 to 1.
    """
    found, name = resolve_source(source)
    if isinstance(found, Image.Image):
        check_pixels(found.size, name, "images in memory", MOST_PIXELS)
        yield OpenedImage(found, name, given=True)
    elif isinstance(found, np.ndarray):
        if found.ndim > 1:
            check_pixels((found.shape[1], found.shape[0]), name, "images in memory", MOST_PIXELS)
        notes: list[str] = []
        opened = OpenedImage(array_to_image(found, notes.append), name, given=False)
        opened.notes = notes
        yield opened
    else:
        with contextlib.ExitStack() as stack:
            if isinstance(found, bytes):
                file: BinaryIO = io.BytesIO(found)
            else:
                regular_size(found, ImageError, MOST_BYTES)
                file = stack.enter_context(_readable(found.open, name))
            with _damage_named(name):
                opened = OpenedImage(open_encoded(file, name), name, given=False)
            yield opened


def load_image(source: Any, on_note: Callable[[str], None] | None = None) -> Image.Image:
    """`source`, see open_image, decoded by OpenedImage.read; on_note is called with each of its notes.

    Raises ImageError, MissingExtraError.
    """
    with open_image(source) as opened:
        image = opened.read()
        if isinstance(image, ImageFile.ImageFile):  # which would hold on to the file
            image = image.copy()
    if on_note is not None:
        for note in opened.notes:
            on_note(note)
    return image


def content_key(image: Image.Image) -> str:
    """sha256 in hex over the size and the pixels of an RGB image: equal keys, equal images."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _jpeg_reduction(image: Image.Image, at_least: tuple[int, int]) -> int:
    """By more where all coefficients of a large progressive one are in memory beside the pixels."""
    large = image.width * image.height > WHOLE_PIXELS
    most = WHOLE_PIXELS // 4 if large and image.info.get("progressive") else WHOLE_PIXELS
    return _reduction(image, at_least, _JPEG_REDUCTIONS, most)


def _reduction(
    image: Image.Image, at_least: tuple[int, int], factors: Sequence[int], most: int | None = None
) -> int:
    chosen, most = 1, most or WHOLE_PIXELS
    for factor in factors:
        if image.width * image.height <= most * chosen**2:
            break
        if image.height // factor < at_least[0] or image.width // factor < at_least[1]:
            break
        chosen = factor
    return chosen


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(_ORIENTATION, 1))
        return value if value in _UPRIGHT else 1
    except Exception:  # broken EXIF says nothing about orientation; the pixels are sound
        return 1


def _is_wide_colour(image: Image.Image) -> bool:
    tiles = getattr(image, "tile", ())
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in tiles)


def _readable(open: Callable[[str], Any], name: str) -> Any:
    try:
        return open("rb")
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror}); check the path.") from None


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except PocketVLError:
        raise
    except MemoryError:
        raise ImageError(f"{name} does not fit into memory; scale it down first.") from None
    except Exception as error:  # each of Pillow's decoders has exceptions of its own
        raise ImageError(
            f"{name} is damaged or cut off ({error}); copy the image again or save it anew."
        ) from None
