"""Draws shapes, words and bar charts with Pillow alone."""

from __future__ import annotations

import functools
import random
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
INKS: tuple[RGB, ...] = ((0, 0, 0), (30, 30, 110), (110, 15, 15), (10, 80, 40), (70, 20, 90))


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


def draw_text(rng: random.Random, width: int, height: int, text: str) -> tuple[Image.Image, tuple[Part, ...]]:
    """A picture of one line of large text, somewhere on blank paper; a part for every sign."""
    ink = rng.choice(INKS)
    image = blank(width, height, rng.choice(PAPERS))
    pen = ImageDraw.Draw(image)
    size = rng.randint(34, 44)
    left, top, right, bottom = font(size).getbbox(text, stroke_width=1)
    if right - left > width - 6:
        size = max(16, int(size * (width - 6) / (right - left)))
        left, top, right, bottom = font(size).getbbox(text, stroke_width=1)
    x = 2 + rng.randint(0, max(0, int(width - (right - left)) - 4))
    y = 2 + rng.randint(0, max(0, int(height - (bottom - top)) - 4))
    pen.text((x - left, y - top), text, font=font(size), fill=ink, stroke_width=1)
    edges = [x - left + font(size).getlength(text[:place]) for place in range(len(text) + 1)]
    parts = [
        Part((sign, f"place {place + 1}"), (edges[place], y, edges[place + 1], y + bottom - top))
        for place, sign in enumerate(text)
    ]
    return image, tuple(parts)


def draw_bars(
    rng: random.Random, width: int, height: int, labels: str, values: list[int], most: int
) -> tuple[Image.Image, tuple[Part, ...]]:
    """A bar chart: a line for every whole value up to ``most``, a letter under every bar; a part for each."""
    image = blank(width, height, rng.choice(PAPERS))
    pen = ImageDraw.Draw(image)
    foot = 18
    step = (height - foot - 4) // most
    base = height - foot
    for value in range(1, most + 1):
        pen.line((2, base - value * step, width - 3, base - value * step), fill=(140, 140, 140))
    pen.line((2, base, width - 3, base), fill=(0, 0, 0))
    pitch = (width - 8) / len(values)
    thick = round(pitch * rng.uniform(0.45, 0.7))
    inks = [COLOURS[name] for name in ("red", "green", "blue", "black")]
    one = rng.choice(inks)
    mixed = rng.random() < 0.5
    parts: list[Part] = []
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        middle = round(4 + pitch * (place + 0.5))
        ink = rng.choice(inks) if mixed else one
        left = middle - thick // 2
        pen.rectangle((left, base - value * step, left + thick - 1, base - 1), fill=ink)
        pen.text((middle, height - 1), label, font=font(16), fill=(0, 0, 0), anchor="ms")
        parts.append(Part((f"bar {value}",), (left, base - value * step, left + thick, base)))
        parts.append(Part((label,), (middle - 7, base + 2, middle + 7, height)))
    return image, tuple(parts)
