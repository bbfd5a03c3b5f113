"""Draws shapes, text and bar charts with Pillow alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (220, 30, 30),
    "green": (20, 150, 50),
    "blue": (30, 60, 220),
    "yellow": (250, 205, 0),
    "black": (15, 15, 15),
    "pink": (250, 120, 190),
}
KINDS = ("circle", "square", "triangle", "cross")
# Brightness of the paper's middle.
PAPERS = (225, 218, 210)
_SHADE = 60


@dataclass(frozen=True)
class Shape:
    """A filled shape in the square of side ``size`` whose top left pixel is (``x``, ``y``)."""

    kind: str
    colour: str
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class Part:
    """What a region of a picture shows: names, and left, top, right, bottom in pixels."""

    names: tuple[str, ...]
    box: tuple[float, float, float, float]


@functools.lru_cache(maxsize=64)
def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: no file from the system, so a picture is the same everywhere."""
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=512)
def _shaded(width: int, height: int, level: int) -> Image.Image:
    pixels = np.full((height, width, 3), level, np.float32)
    pixels[:, :, 0] += _SHADE * (0.5 - np.linspace(0, 1, width, dtype=np.float32))
    pixels[:, :, 2] += _SHADE * (0.5 - np.linspace(0, 1, height, dtype=np.float32))[:, None]
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def blank(width: int, height: int, level: int) -> Image.Image:
    """Paper whose red fades from left to right and whose blue fades from top to bottom.

    This family's vision encoder has no absolute positions and attends to all patches alike: on plain paper
    nothing would tell it left from right, and only the decoder could find out, slowly.
    """
    return _shaded(width, height, level).copy()


def draw_shapes(width: int, height: int, paper: int, shapes: tuple[Shape, ...]) -> Image.Image:
    """A picture of the shapes on blank paper."""
    image = blank(width, height, paper)
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        _draw_shape(pen, shape)
    return image


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape) -> None:
    left, top, ink = shape.x, shape.y, COLOURS[shape.colour]
    right, bottom = left + shape.size - 1, top + shape.size - 1
    if shape.kind == "circle":
        pen.ellipse((left, top, right, bottom), fill=ink)
    elif shape.kind == "square":
        pen.rectangle((left, top, right, bottom), fill=ink)
    elif shape.kind == "triangle":
        pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=ink)
    elif shape.kind == "cross":
        arm = shape.size // 3
        pen.rectangle((left + arm, top, right - arm, bottom), fill=ink)
        pen.rectangle((left, top + arm, right, bottom - arm), fill=ink)
    else:
        raise ValueError(f"unknown kind of shape {shape.kind!r}; known are {', '.join(KINDS)}")
