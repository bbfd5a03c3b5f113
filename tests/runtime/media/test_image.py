"""Images of every kind become upright RGB, and what is no image is refused with a clear sentence."""

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media.image import load_image
from tests.support.images import encoded, oriented

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(width: int = 12, height: int = 7) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), GREEN)
    upright.paste(RED, (0, 0, 16, 8))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encoded(stored, exif=exif))
    assert np.array_equal(np.asarray(loaded), np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_none(orientation: int) -> None:
    assert load_image(encoded(noise(), exif=oriented(orientation))).tobytes() == noise().tobytes()


def test_broken_exif_does_not_spoil_the_image() -> None:
    loaded = load_image(encoded(noise(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\xff\xff\x00\x07"))
    assert loaded.size == (12, 7)


@pytest.mark.parametrize("modes", [("RGBA",), ("LA",), ("LA", "La"), ("RGBA", "RGBa"), ("P", "PA")])
def test_transparency_becomes_white(modes: tuple[str, ...]) -> None:
    image = Image.new(modes[0], (2, 1))
    alpha = Image.new("L", (2, 1))
    alpha.putpixel((1, 0), 255)
    if modes[-1] == "PA":
        image.putpalette([0, 0, 0])
        image = image.convert("PA")
    image.putalpha(alpha)
    image = image.convert(modes[-1])
    assert image.mode == modes[-1]
    loaded = load_image(image)
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


def test_half_transparent_colour_mixes_with_white() -> None:
    loaded = load_image(encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128))))
    assert loaded.getpixel((0, 0)) == (255, 127, 127)


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
def test_a_transparent_palette_entry_becomes_white(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putpixel((1, 0), 1)
    loaded = load_image(encoded(image, transparency=transparency))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [RED, (255, 255, 255)]


@pytest.mark.parametrize(("mode", "colour", "transparency"), [("L", 7, 7), ("RGB", RED, RED)])
def test_a_transparent_colour_becomes_white(mode: str, colour: Any, transparency: Any) -> None:
    image = Image.new(mode, (1, 1), colour)
    assert load_image(encoded(image, transparency=transparency)).getpixel((0, 0)) == (255, 255, 255)


def test_grey_and_black_and_white() -> None:
    assert load_image(encoded(Image.new("L", (1, 1), 77))).getpixel((0, 0)) == (77, 77, 77)
    assert load_image(encoded(Image.new("1", (1, 1), 1))).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_is_converted() -> None:
    image = load_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    red, green, blue = np.asarray(image)[4, 4].tolist()
    assert red > 240
    assert green < 15
    assert blue < 15


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(data).getpixel((0, 0)) == RED


def png_chunks(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG written by hand: its header may promise any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [9_460, 12_000, 30_000, 2_000_000])
def test_decompression_bombs_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_chunks(side, side, 8, 2, b"\0"))
    with pytest.raises(
        ImageError, match=r"bomb\.png.*pixels \(the limit for .* is 89478485\); scale it down"
    ):
        load_image(path)


def test_the_limit_holds_for_pillow_images_too() -> None:
    with pytest.raises(ImageError, match="scale it down"):
        load_image(Image.new("1", (9_460, 9_460)))


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="0x5 pixels"):
        load_image(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("empty.png", b"", r"empty\.png is empty \(0 bytes\)"),
        ("notes.jpg", b"dear diary\n" * 20, r"notes\.jpg is not an image.*save it as"),
        ("cut.jpg", encoded(noise(200, 200), "JPEG")[:4000], r"cut\.jpg is damaged or cut off"),
        ("cut.png", encoded(noise(200, 200))[:4000], r"cut\.png is damaged or cut off"),
        ("cut.gif", encoded(noise(200, 200), "GIF")[:900], r"cut\.gif is damaged or cut off"),
        ("head.png", encoded(noise())[:20], r"head\.png is (damaged or cut off|not an image)"),
        ("flip.png", encoded(noise(40, 40)).replace(b"IDAT", b"IDAX"), r"flip\.png is not an image"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=expected):
        load_image(tmp_path / name)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damage_anywhere_is_an_image_error_or_an_image(format: str) -> None:
    data = encoded(noise(40, 30), format)
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), 4):
            damaged[position] = random.integers(0, 256)
        with contextlib.suppress(ImageError):
            assert load_image(bytes(damaged[: random.integers(1, len(data) + 1)])).mode == "RGB"
