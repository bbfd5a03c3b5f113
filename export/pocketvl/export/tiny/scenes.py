"""Places shapes in a picture without overlap, and says where they are."""

from __future__ import annotations

import random

from PIL import Image

from pocketvl.export.tiny.drawing import COLOURS, PAPERS, Shape, draw_shapes
from pocketvl.export.tiny.example import Box

# A pixel of these pictures is about ten thousandths wide: finer digits could not be seen.
GRAIN = 10


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
