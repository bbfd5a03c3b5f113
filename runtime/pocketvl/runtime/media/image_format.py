"""Encoded images opened as far as their header: formats that are read, and how large each may be."""

import re
import struct
import warnings
from typing import BinaryIO

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from pocketvl.runtime.errors import ImageError, MissingExtraError

# Formats that are recognised by their first bytes and decoded in this process. Not EPS, which starts
# Ghostscript, nor the containers that Pillow knows only by name.
_FORMATS = (
    "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "PCX", "PSD", "QOI", "SGI",
)  # fmt: skip

# Most pixels. A JPEG is decoded at a fraction of its size; other formats only whole, at 4 bytes a pixel, of
# which some decoders hold several copies. Measured peaks of a process at these limits: baseline JPEG 0.4 GB,
# PNG, TIFF and BMP 0.5 GB, AVIF and HEIC 0.5 GB, WebP 0.6 GB, JPEG 2000 0.7 GB.
_MOST_JPEG = 1 << 28
_MOST_OF = {"WEBP": 1 << 25, "JPEG2000": 1 << 25, "AVIF": 3 << 24, "HEIC": 3 << 24}
MOST_PIXELS = 89_478_485  # of any other format: a quarter of a gigabyte of RGB, as Pillow's own limit

# A progressive JPEG is decoded from all its coefficients at once, two bytes each; with them 0.7 GB.
_MOST_COEFFICIENTS = 600_000_000  # bytes

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_VECTOR = "which is drawn rather than stored as pixels; export it as PNG"
_UNREAD = {
    "EPS or PostScript": (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), _VECTOR),
    "PDF": (re.compile(rb"%PDF-"), "a document; save its page as PNG"),
    "WMF": (re.compile(rb"\xd7\xcd\xc6\x9a"), _VECTOR),
    "EMF": (re.compile(rb"\x01\0\0\0.{36} EMF", re.DOTALL), _VECTOR),
    "SVG": (re.compile(rb"(\xef\xbb\xbf)?\s*<(svg|!DOCTYPE svg|(\?xml|!--).*<svg)", re.DOTALL), _VECTOR),
    "HTML": (re.compile(rb"\s*<(!DOCTYPE )?html", re.IGNORECASE), "a web page; save the image itself"),
    "JPEG XL": (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "which is not supported; save it as JPEG or PNG"),
    "video": (re.compile(rb".{4}ftyp(isom|iso\d|mp4\d|qt  |M4V )|\x1aE\xdf\xa3|RIFF.{4}AVI ", re.DOTALL),
              "of many images; save one of its frames as JPEG"),
}  # fmt: skip
_HEAD = 1024


def open_encoded(file: BinaryIO, name: str) -> Image.Image:
    """The image in `file`, its pixels not yet decoded (but of HEIC). Raises ImageError, MissingExtraError."""
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise ImageError(f"{name} is empty (0 bytes); copy or download the image again.")
    for format, (start, remedy) in _UNREAD.items():
        if start.match(head):
            raise ImageError(f"{name} is {format}, {remedy}.")
    if head[4:8] == b"ftyp" and _brands(head) & {*_HEIC} and b"avif" not in _brands(head):
        return _open_heic(file, name)
    if head.startswith(b"\xff\xd8\xff"):
        # Not by Image.open, which refuses more pixels than its own limit, even where few are decoded. Of
        # several images in one file this is the first.
        jpeg = JpegImagePlugin.JpegImageFile(file)
        check_pixels(jpeg.size, name, "JPEG", _MOST_JPEG)
        _check_coefficients(jpeg, name)
        return jpeg
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limits here are lower
            image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has too many pixels {_limit('this format', MOST_PIXELS)}") from None
    except UnidentifiedImageError:
        raise _unidentified(head, name) from None
    format = image.format or "this format"
    check_pixels(image.size, name, format, _MOST_OF.get(format, MOST_PIXELS))
    return image


def check_pixels(size: tuple[int, int], name: str, format: str, most: int) -> None:
    """Raises ImageError for an image without pixels or with more than `most`."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name} is {width}x{height} pixels; give an image with pixels in it.")
    if width * height > most:
        raise ImageError(f"{name} has {width}x{height} pixels {_limit(format, most)}")


def _limit(format: str, most: int) -> str:
    return f"(the limit for {format} is {most}); scale it down first."


def _check_coefficients(image: JpegImagePlugin.JpegImageFile, name: str) -> None:
    if not image.info.get("progressive"):
        return
    largest = max(across * down for _, across, down, _ in image.layer)
    share = sum(across * down for _, across, down, _ in image.layer) / largest
    size = int(2 * share * image.width * image.height)
    if size > _MOST_COEFFICIENTS:
        raise ImageError(
            f"{name} is a progressive JPEG of {image.width}x{image.height} pixels, which takes {size} bytes"
            f" of memory to decode (the limit is {_MOST_COEFFICIENTS}); scale it down or save it as"
            " baseline JPEG."
        )


def _brands(head: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO media file."""
    end = min(struct.unpack(">I", head[:4])[0], len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _open_heic(file: BinaryIO, name: str) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError(
            f"{name} is HEIC, which needs pillow-heif; install it with: pip install 'pocketvl[heic]', or save"
            " the image as JPEG."
        ) from None
    container = pillow_heif.open_heif(file)
    check_pixels(container.size, name, "HEIC", _MOST_OF["HEIC"])
    image: Image.Image = container.to_pillow()  # already upright, by the container's own transformations
    image.info.pop("exif", None)
    image.info.pop("xmp", None)
    return image


def _unidentified(head: bytes, name: str) -> ImageError:
    if head[4:8] == b"ftyp" and b"avif" in _brands(head):
        return ImageError(
            f"{name} is AVIF, which this version of Pillow cannot read; update it (pip install -U pillow), or"
            " save the image as JPEG."
        )
    return ImageError(f"{name} is not an image in a format that can be read; save it as JPEG, PNG or WebP.")
