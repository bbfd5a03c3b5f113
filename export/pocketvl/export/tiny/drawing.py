"""Draws shapes, text and bar charts with Pillow alone."""

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
DARK_PAPERS = (35, 45)
_SHADE = 60
LIGHT: tuple[RGB, ...] = ((255, 255, 255), (255, 245, 200), (220, 240, 255), (225, 255, 225))
DARK: tuple[RGB, ...] = ((0, 0, 0), (30, 30, 110), (110, 15, 15), (10, 80, 40), (70, 20, 90))
_BAR_COLOURS: tuple[RGB, ...] = tuple(COLOURS[name] for name in ("red", "green", "blue", "black"))


@dataclass(frozen=True)
class Shape:
    """A filled shape in the square of side ``size`` whose top left pixel is (``x``, ``y``)."""

    kind: str
    colour: str
    x: int
    y: int
    size: int


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


def draw_text(rng: random.Random, width: int, height: int, text: str) -> Image.Image:
    """A picture of one line of large text, somewhere on blank paper."""
    on_light = rng.random() < 0.7
    ink = rng.choice(DARK if on_light else LIGHT)
    image = blank(width, height, rng.choice(PAPERS if on_light else DARK_PAPERS))
    pen = ImageDraw.Draw(image)
    size = rng.randint(28, 44)
    left, top, right, bottom = font(size).getbbox(text, stroke_width=1)
    if right - left > width - 6:
        size = max(16, int(size * (width - 6) / (right - left)))
        left, top, right, bottom = font(size).getbbox(text, stroke_width=1)
    free_x = max(0, int(width - (right - left)) - 4)
    free_y = max(0, int(height - (bottom - top)) - 4)
    x, y = 2 + rng.randint(0, free_x), 2 + rng.randint(0, free_y)
    pen.text((x - left, y - top), text, font=font(size), fill=ink, stroke_width=1)
    return image


def draw_bars(
    rng: random.Random, width: int, height: int, labels: str, values: list[int], most: int
) -> Image.Image:
    """A picture of a bar chart: a line for every whole value up to ``most``, a letter under every bar."""
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
    one = rng.choice(_BAR_COLOURS)
    mixed = rng.random() < 0.5
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        middle = round(4 + pitch * (place + 0.5))
        ink = rng.choice(_BAR_COLOURS) if mixed else one
        left = middle - thick // 2
        pen.rectangle((left, base - value * step, left + thick - 1, base - 1), fill=ink)
        pen.text((middle, height - 1), label, font=font(16), fill=(0, 0, 0), anchor="ms")
    return image
