"""Draws words and bar charts."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from pocketvl.export.tiny.drawing import COLOURS, PAPERS, RGB, Part, blank, font

INKS: tuple[RGB, ...] = ((0, 0, 0), (30, 30, 110), (110, 15, 15), (10, 80, 40), (70, 20, 90))


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
