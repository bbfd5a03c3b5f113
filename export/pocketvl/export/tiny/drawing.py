"""Draws shapes, words and bar charts with Pillow alone; places shapes, and says where they are."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketvl.export.tiny.example import Box

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
# A pixel of these pictures is about ten thousandths wide: finer digits could not be seen.
GRAIN = 10


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


def place_shapes(rng: random.Random, width: int, height: int, kinds: list[str]) -> tuple[Shape, ...]:
    """One shape of every kind in ``kinds``, at random places, at least two pixels apart."""
    side = min(width, height)
    colours = rng.sample(tuple(COLOURS), len(kinds))
    low, high = (0.30, 0.46) if len(kinds) <= 3 else (0.20, 0.27)
    while True:
        shapes = _try_place(
            rng, width, height, list(zip(kinds, colours, strict=True)), (low * side, high * side)
        )
        if shapes is not None:
            return shapes
        high = max(low, high - 0.02)
        low -= 0.005


def _try_place(
    rng: random.Random, width: int, height: int, looks: list[tuple[str, str]], sizes: tuple[float, float]
) -> tuple[Shape, ...] | None:
    placed: list[Shape] = []
    for kind, colour in looks:
        for _ in range(12):
            size = round(rng.uniform(*sizes))
            shape = Shape(
                kind, colour, rng.randint(1, width - size - 1), rng.randint(1, height - size - 1), size
            )
            if all(_apart(shape, other) for other in placed):
                placed.append(shape)
                break
        else:
            return None
    return tuple(placed)


def _apart(one: Shape, other: Shape) -> bool:
    gap = 2
    return (
        one.x + one.size + gap <= other.x
        or other.x + other.size + gap <= one.x
        or one.y + one.size + gap <= other.y
        or other.y + other.size + gap <= one.y
    )


def scene(
    rng: random.Random, width: int, height: int, kinds: list[str]
) -> tuple[Image.Image, tuple[Shape, ...]]:
    """A picture with one shape of every kind in ``kinds``, all in different colours."""
    shapes = place_shapes(rng, width, height, kinds)
    return draw_shapes(width, height, rng.choice(PAPERS), shapes), shapes


def box_of(shape: Shape, width: int, height: int) -> Box:
    """The shape's box in 0..1000 of the picture, to the nearest ``GRAIN``."""

    def part(pixel: int, whole: int) -> int:
        return round(pixel * 1000 / whole / GRAIN) * GRAIN

    return (
        part(shape.x, width),
        part(shape.y, height),
        part(shape.x + shape.size, width),
        part(shape.y + shape.size, height),
    )


def box_text(box: Box) -> str:
    """The box as this family of models writes it."""
    return f"({box[0]},{box[1]}),({box[2]},{box[3]})"
