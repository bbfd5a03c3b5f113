"""What a caller may give as an image: told apart, named for messages, and copied where it could change."""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.files import shortened

MOST_BYTES = 512 << 20  # of an encoded image

Pixels = NDArray[np.generic]

# How base64 of JPEG, PNG, GIF, WebP, TIFF, AVIF and HEIC begins: what tells an image from a misspelt path.
_BASE64_STARTS = re.compile(r"/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkq|TU0AK|AAAA.GZ0eX")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_URL_SAFE = str.maketrans("-_", "+/")


def resolve_source(source: Any) -> tuple[Path | bytes | Image.Image | Pixels, str]:
    """The path, the encoded bytes, the Pillow image or the array that `source` is, and its name for messages.

    A string is a path, a file: URL, a data: URL or base64. Raises ImageError.
    """
    match source:
        case str():
            return _resolve_text(source)
        case os.PathLike():
            return _resolve_path(os.fsdecode(source))
        case bytes() | bytearray() | memoryview():
            return _limited(bytes(source), "the given data")
        case Image.Image() | np.ndarray():
            return source, f"the given {'array' if isinstance(source, np.ndarray) else 'image'}"
    if callable(getattr(source, "read", None)):
        return _read_file(source)
    raise ImageError(
        f"An image cannot be a {type(source).__name__}; give a path, bytes, a file opened in binary mode, a"
        " data: URL, a Pillow image or a numpy array."
    )


def decode_base64(text: str) -> bytes:
    """Standard or URL-safe, with or without padding, broken into lines or not. Raises ValueError."""
    plain = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _resolve_text(source: str) -> tuple[Path | bytes, str]:
    scheme = source[:5].lower()
    if scheme == "data:":
        return _data_url(source), "the image in the data: URL"
    if scheme == "file:":
        return _resolve_path(path_of_url(source))
    if _BASE64_STARTS.match(source) and not _is_file(source):
        return _from_base64(source, "the base64 string"), "the image in the base64 string"
    if (address := _ADDRESS.match(source)) and not address[1].lower().startswith("http"):
        raise ImageError(
            f"{shortened(source)} has the scheme {address[1]}, of which pocketvl reads none; {_GIVE}"
        )
    return _resolve_path(source)


_GIVE = "give the path of a file, a file: URL or a data: URL."


def _resolve_path(path: str) -> tuple[Path, str]:
    if re.match(r"https?:/", path, re.IGNORECASE):  # one slash is what a Path leaves of two
        raise ImageError(
            f"{shortened(path)} is a network address, and pocketvl downloads nothing; download the image"
            " yourself and give its file."
        )
    return Path(path), shortened(path)


def path_of_url(url: str) -> str:
    """Of a file: URL as in RFC 8089, but # and ? belong to the path: a file has neither fragment nor query.

    Raises ImageError.
    """
    rest = url[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ImageError(
                f"{shortened(url)} names a file on {shortened(host)!r}, another computer; give a path of"
                " this one."
            )
        rest = slash + path
    if not rest:
        raise ImageError(f"{shortened(url)} names no file; write file:///folder/image.jpg.")
    return unquote(rest, errors="surrogateescape")


def _data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ImageError(
            f"The data: URL {shortened(url)} does not hold base64; write it as data:image/jpeg;base64,"
            " followed by the encoded image."
        )
    return _from_base64(unquote(body), "the data: URL")


def _from_base64(text: str, name: str) -> bytes:
    try:
        return decode_base64(text)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"The base64 of {name} is damaged ({error}); encode the whole image again."
        ) from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # longer than a path can be, or with a null byte
        return False


def _read_file(file: Any) -> tuple[bytes, str]:
    """All of an opened file from its beginning, where it has one to go back to."""
    try:
        if callable(getattr(file, "seekable", None)) and file.seekable():
            file.seek(0)
        data = file.read(MOST_BYTES + 1)
    except Exception as error:  # whatever object this is
        raise ImageError(
            f"The given file cannot be read ({error}); give one that is open for reading."
        ) from None
    if not isinstance(data, bytes):
        raise ImageError("The given file is not opened in binary mode; open it with mode 'rb'.")
    return _limited(data, "the given file")


def _limited(data: bytes, name: str) -> tuple[bytes, str]:
    if len(data) > MOST_BYTES:
        raise ImageError(f"{name} has more bytes than the limit of {MOST_BYTES}; give a smaller image.")
    return data, name
