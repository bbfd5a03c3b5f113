"""A picture from a path, bytes, a data URL or Pillow, as upright RGB without surprises."""

import base64
import binascii
import hashlib
import io
import warnings
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pocketvl.runtime.errors import ImageError

# Pixels of the picture as stored. Decoded RGB takes three bytes each, so this is about 270 MB.
MAX_SOURCE_PIXELS = 89_478_485

# How base64 of JPEG, PNG, GIF, WebP and TIFF begins: what tells a picture from a misspelt path.
_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkq", "TU0AK")

_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")


def load_image(source: str | Path | bytes | Image.Image) -> Image.Image:
    """Decode one picture: RGB, 8 bits, upright, transparency on white; of an animation the first frame.

    A string is a path, a file: URL, a data: URL or base64. Raises ImageError.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the given picture")
    if isinstance(source, bytes):
        return _decode(source, "the given bytes")
    if isinstance(source, Path):
        return _decode(_read(source), str(source))
    if isinstance(source, str):
        return _load_string(source)
    raise ImageError(
        f"A picture cannot be a {type(source).__name__}; give a path, bytes, a data: URL or a Pillow image."
    )


def content_key(image: Image.Image) -> str:
    """sha256 in hex over the size and the pixels of an RGB picture: equal keys, equal pictures."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _load_string(source: str) -> Image.Image:
    scheme = source[:8].lower()
    if scheme.startswith(("http:", "https:")):
        raise ImageError(
            f"{_short(source)} is a network address, and pocketvl never opens one;"
            " download the picture and give its path."
        )
    if scheme.startswith("data:"):
        return _decode(_data_url_bytes(source), "the picture in the data: URL")
    if scheme.startswith("file:"):
        path = Path(unquote(urlsplit(source).path))
        return _decode(_read(path), str(path))
    if source.startswith(_BASE64_STARTS) and not _is_file(source):
        return _decode(_base64_bytes(source, "the base64 string"), "the picture in the base64 string")
    return _decode(_read(Path(source)), _short(source))


def _data_url_bytes(source: str) -> bytes:
    head, comma, body = source.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ImageError(
            f"The data: URL {_short(source)} does not hold base64;"
            " write it as data:image/jpeg;base64, followed by the encoded picture."
        )
    return _base64_bytes(body, "the data: URL")


def _base64_bytes(text: str, name: str) -> bytes:
    try:
        return base64.b64decode("".join(unquote(text).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"The base64 of {name} is damaged ({error}); encode the whole picture again."
        ) from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # longer than a path can be, or with a null byte
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"The picture {_short(str(path))} does not exist; check the path.") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder; give the path of one picture.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"The picture {_short(str(path))} cannot be read ({reason}); check the path."
        ) from None


def _decode(data: bytes, name: str) -> Image.Image:
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); copy or download the picture again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_too_large(name, "too many")) from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture in a format that can be read; save it as JPEG, PNG or WebP."
        ) from None
    except Exception as error:  # Pillow's parsers raise whatever a broken header leads them to
        raise ImageError(_damaged(name, error)) from None
    with image:
        return _to_rgb(image, name)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.width < 1 or image.height < 1:
        raise ImageError(f"{name} is {image.width}x{image.height} pixels; give a picture with pixels in it.")
    if image.width * image.height > MAX_SOURCE_PIXELS:  # known from the header, before any decoding
        raise ImageError(_too_large(name, f"{image.width}x{image.height}"))
    try:
        image.load()
        return _flatten(_upright(image), name)
    except ImageError:
        raise
    except Exception as error:  # as above: each decoder has exceptions of its own
        raise ImageError(_damaged(name, error)) from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about orientation; the pixels are sound
        return image


def _flatten(image: Image.Image, name: str) -> Image.Image:
    """Any mode to RGB. 16-bit grey keeps its high byte, as Pillow does for 16-bit colour."""
    if image.mode in _GREY_16 or image.mode == "I":
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise ImageError(f"{name} has 32-bit samples; convert it to 8 or 16 bits.")
        return Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name} has floating-point samples; convert it to 8 or 16 bits.")
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _too_large(name: str, pixels: str) -> str:
    return f"{name} has {pixels} pixels (the limit is {MAX_SOURCE_PIXELS}); scale it down first."


def _damaged(name: str, error: Exception) -> str:
    return f"{name} is damaged or cut off ({error}); copy the picture again or save it anew."


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
