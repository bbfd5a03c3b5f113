"""Samples of more than 8 bits: read by the bits that are used, with a note, or refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media import image_samples
from pocketvl.runtime.media.image import load_image
from pocketvl.runtime.media.image_samples import used_depth
from tests.runtime.media.test_image import png_chunks
from tests.support.images import encoded, photograph

TWELVE = np.array([[0, 15, 16, 2048, 4095]], np.uint16)
GREY = {
    "PNG": encoded(Image.fromarray(TWELVE)),
    "TIFF": encoded(Image.fromarray(TWELVE), "TIFF"),
    "big-endian": Image.frombytes("I;16B", (5, 1), TWELVE.astype(">u2").tobytes()),
    "mode I": Image.fromarray(TWELVE.astype(np.int32)),
    "array": TWELVE,
    "big-endian array": TWELVE.astype(">u2"),
}


def read(source: Any) -> tuple[list[list[int]], list[str]]:
    """The pixels of the first row, and the notes."""
    notes: list[str] = []
    image = load_image(source, notes.append)
    return np.asarray(image)[0].tolist(), notes


@pytest.mark.parametrize("kind", GREY)
def test_12_bits_in_16_are_not_black(kind: str) -> None:
    pixels, notes = read(GREY[kind])
    assert pixels == [[level] * 3 for level in (0, 0, 1, 128, 255)]
    assert len(notes) == 1
    assert "samples of 16 bits that use only 12 of them (the largest is 4095)" in notes[0]


def test_colour_arrays_are_scaled_by_one_depth() -> None:
    colour = np.array([[[0, 100, 1000], [1023, 4, 3]]], np.uint16)
    pixels, notes = read(colour)
    assert pixels == [[0, 25, 250], [255, 1, 0]]
    assert "use only 10 of them" in notes[0]
    alpha = np.array([[[1023, 0, 0, 1023], [0, 0, 0, 0]]], np.uint16)
    assert read(alpha)[0] == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_all_of_16_bits_keep_the_high_byte_without_a_note(format: str) -> None:
    values = np.array([[0, 255, 256, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    pixels, notes = read(encoded(Image.fromarray(values), format))
    assert [level for level, _, _ in pixels] == [0, 0, 1, 0x12, 0x80, 0xFF]
    assert notes == []


@given(st.integers(0, 0xFFFF))
def test_the_depth_holds_the_largest_sample_and_is_the_least_such(largest: int) -> None:
    depth = used_depth(largest)
    assert largest < 1 << depth
    assert depth == 8 or largest >= 1 << (depth - 2)  # so nothing gets more than four times as bright


def test_black_stays_black_without_a_note() -> None:
    assert read(np.zeros((1, 1), np.uint16)) == ([[0, 0, 0]], [])


def test_the_largest_sample_may_be_in_any_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_samples, "_BAND", 3)
    tall = np.array([[1], [2], [3], [4000], [5]], np.uint16)
    image = load_image(Image.fromarray(tall))
    assert np.asarray(image)[:, 0, 0].tolist() == [0, 0, 0, 250, 0]


def test_floating_point_from_0_to_1(tmp_path: Any) -> None:
    values = np.array([[0, 0.25, 0.5, 1]], np.float32)
    Image.fromarray(values).save(tmp_path / "float.tif")
    for source in (tmp_path / "float.tif", values, values.astype(np.float64), Image.fromarray(values)):
        assert read(source) == ([[level] * 3 for level in (0, 64, 128, 255)], [])


@pytest.mark.parametrize("value", [-0.01, 1.5, 255.0, float("nan"), float("inf")])
def test_other_floating_point_is_refused(tmp_path: Any, value: float) -> None:
    Image.fromarray(np.array([[0.5, value]], np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif has floating-point samples .*scale them to 0\.\.1"):
        load_image(tmp_path / "float.tif")


@pytest.mark.parametrize("value", [-1, 0x10000])
def test_32_bits_are_refused(value: int) -> None:
    with pytest.raises(ImageError, match=f"32-bit samples from {value} to {value}; convert"):
        load_image(Image.new("I", (1, 1), value))


def test_colour_of_16_bits_keeps_the_high_byte_and_says_where_that_is_black() -> None:
    def png(*samples: int) -> bytes:
        return png_chunks(1, 1, 16, 2, b"\0" + np.array(samples, ">u2").tobytes())

    assert read(png(0x1234, 0x80FF, 0xFFFF)) == ([[0x12, 0x80, 0xFF]], [])
    pixels, notes = read(png(0x0FFF, 0x0400, 0))
    assert pixels == [[0x0F, 0x04, 0]]
    assert "colour of 16 bits that uses at most 12 of them" in notes[0]
    grey_alpha = png_chunks(1, 1, 16, 4, b"\0" + np.array([0x0FFF, 0xFFFF], ">u2").tobytes())
    assert len(read(grey_alpha)[1]) == 1


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV"]
)
def test_bands_are_converted_as_the_whole_is(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    image = photograph(30, 40)
    if mode not in ("1", "L", "P", "CMYK", "YCbCr", "HSV"):
        image.putalpha(photograph(30, 40, 1).convert("L"))
    steps = {"LAB": ["RGB"], "PA": ["LA", "PA"], "La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"]}.get(
        mode, [mode]
    )
    if mode == "LAB":
        image = Image.frombytes("LAB", image.size, image.convert("RGB").tobytes())
    else:
        for step in steps:
            image = image.convert(step)
    assert image.mode == mode
    whole = load_image(image)
    monkeypatch.setattr(image_samples, "_BAND", 100)
    assert load_image(image).tobytes() == whole.tobytes()
