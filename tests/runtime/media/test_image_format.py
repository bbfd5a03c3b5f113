"""Formats: which are read, and what a user is told about the others."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import ImageError, MissingExtraError
from pocketvl.runtime.media.image import load_image, open_image
from tests.support.images import encoded, oriented, photograph

FTYP = b"\0\0\0\x18ftyp"
UNREAD = {
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is EPS or PostScript, which is drawn .*export it as PNG"),
    "dos.eps": (b"\xc5\xd0\xd3\xc6" + bytes(40), "is EPS or PostScript"),
    "a.pdf": (b"%PDF-1.7\n", "is PDF, a document; save its page as PNG"),
    "a.svg": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="">', "is SVG, which is drawn"),
    "b.svg": (b"\n<svg>", "is SVG"),
    "a.wmf": (b"\xd7\xcd\xc6\x9a" + bytes(40), "is WMF, which is drawn"),
    "a.emf": (b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40), "is EMF, which is drawn"),
    "a.jxl": (b"\xff\x0a" + bytes(40), "is JPEG XL, which is not supported"),
    "a.mp4": (FTYP + b"isom" + bytes(40), "is video, of many images; save one of its frames"),
    "a.mkv": (b"\x1aE\xdf\xa3" + bytes(40), "is video"),
    "a.jpg": (b"<!DOCTYPE html><html>404</html>", "is HTML, a web page"),
    "a.png": (b"\0" * 100, "is not an image in a format that can be read"),
    "a.fits": (b"SIMPLE  =                    T" + bytes(80), "is not an image in a format that can be read"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_other_formats_are_named(tmp_path: Path, name: str) -> None:
    data, expected = UNREAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=expected):
        load_image(tmp_path / name)


@pytest.mark.parametrize(
    "format",
    ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "PCX", "QOI", "SGI"],
)
def test_formats_that_are_read(format: str) -> None:
    image = photograph(32, 32)
    loaded = load_image(encoded(image, format, **({"sizes": [(32, 32)]} if format == "ICO" else {})))
    error = np.abs(np.asarray(loaded).astype(int) - np.asarray(image)).mean()
    assert error < (30 if format in ("GIF", "JPEG", "WEBP", "AVIF") else 4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_before_decoding_is_that_of_the_upright_image(format: str, orientation: int) -> None:
    data = encoded(photograph(32, 20), format, exif=oriented(orientation))
    with open_image(data) as opened:
        size, image = opened.size, opened.read()
    assert size == (image.height, image.width) == ((20, 32) if orientation < 5 else (32, 20))


def test_of_several_images_in_one_jpeg_the_first_is_read() -> None:
    first = photograph(32, 20)
    data = encoded(first, "MPO", save_all=True, append_images=[photograph(16, 16)])
    assert load_image(data).tobytes() == load_image(encoded(first, "JPEG")).tobytes()


def heic(image: Image.Image, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.encode("RGB", image.size, image.tobytes(), buffer, quality=90, **options)
    return buffer.getvalue()


def test_heic_is_read_without_telling_pillow() -> None:
    image = photograph(64, 48)
    before = dict(Image.OPEN)
    loaded = load_image(heic(image))
    assert loaded.size == (64, 48)
    assert np.abs(np.asarray(loaded).astype(int) - np.asarray(image)).mean() < 8
    assert Image.OPEN.keys() == before.keys()


def test_heic_is_upright_by_its_container_alone() -> None:
    stored = photograph(64, 48)
    loaded = load_image(heic(stored, exif=oriented(6).tobytes()))
    turned = stored.transpose(Image.Transpose.ROTATE_270)
    assert loaded.size == turned.size
    assert np.abs(np.asarray(loaded).astype(int) - np.asarray(turned)).mean() < 8


def test_damaged_heic_is_refused() -> None:
    data = heic(photograph(64, 48))
    with pytest.raises(ImageError, match="given data is damaged or cut off"):
        load_image(data[: len(data) // 2])


def test_heic_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        MissingExtraError, match=r"is HEIC, which needs .*pip install 'pocketvl\[heic\]'.*JPEG"
    ):
        load_image(FTYP + b"heic\0\0\0\0mif1heic" + bytes(40))


def test_avif_that_this_pillow_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvl.runtime.media.image_format._FORMATS", ("PNG",))
    with pytest.raises(ImageError, match="is AVIF, which this version of Pillow cannot read; update it"):
        load_image(encoded(photograph(8, 8), "AVIF"))
