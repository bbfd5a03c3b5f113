"""Boxes and quads of an answer, drawn onto the image that they are of."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.image_source import resolve_source
from pocketvl.runtime.text.answer_text import Box, Quad

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Okabe and Ito's colours, which most colour-blind people tell apart; black and yellow are hard to see.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LARGEST = {"JPEG": 65535, "WEBP": 16383}  # pixels of a side

AnswerShape = Box | Quad


def draw_shapes(
    image: Image.Image, shapes: Sequence[AnswerShape], size: tuple[int, int] | None = None
) -> Image.Image:
    """An RGB copy of `image` with outlines and labels, one colour for each label.

    size: (height, width) in pixels that the shapes' coordinates are of; None if it is the image's own. That
    of an answer's image is conversation.image_sizes[shape.image], which load_image may have reduced.
    """
    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    draw = ImageDraw.Draw(drawn)
    height, width = size or (image.height, image.width)
    across, down = image.width / width, image.height / height
    unit = max(1, round(min(drawn.size) / 200))
    font = ImageFont.load_default(max(10, 7 * unit))
    labels = list(dict.fromkeys(shape.label for shape in shapes))
    for shape in shapes:
        colour = _COLOURS[labels.index(shape.label) % len(_COLOURS)]
        corners = [(x * across, y * down) for x, y in _corners(shape)]
        draw.line([*corners, *corners[:2]], fill=colour, width=2 * unit, joint="curve")
        if shape.label:
            _label(draw, shape.label, corners, colour, font)
    return drawn


def check_output(path: Path, sources: Iterable[Any]) -> None:
    """Whether an image can be written there without replacing one of `sources`, which open_image takes.

    Raises UsageError, and ImageError for a source whose address is none.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} does not say which kind of image it is; end it with {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise UsageError(f"The folder of {path} does not exist; make it first.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is there and is no file; choose another name.")
    for source in sources:
        if not isinstance(source, (str, os.PathLike)):
            continue
        found, _ = resolve_source(source)
        if isinstance(found, Path) and _same(found, path):
            raise UsageError(f"{path} is the image that is asked about; choose another name.")


def write_image(image: Image.Image, path: Path) -> None:
    """In the format that the name's ending says, whole or not at all. Raises UsageError, OSError."""
    kind = FORMATS[path.suffix.lower()]
    if max(image.size) > _LARGEST.get(kind, max(image.size)):
        raise UsageError(f"A {kind} file cannot hold {image.width}x{image.height} pixels; write a .png.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        image.save(partial, format=kind, **({"quality": 95} if kind != "PNG" else {}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _corners(shape: AnswerShape) -> list[tuple[float, float]]:
    if isinstance(shape, Quad):
        return list(shape.corners)
    return [(shape.x1, shape.y1), (shape.x2, shape.y1), (shape.x2, shape.y2), (shape.x1, shape.y2)]


def _label(
    draw: ImageDraw.ImageDraw, text: str, corners: list[tuple[float, float]], colour: str, font: Any
) -> None:
    """Above the shape; below its upper edge where there is no room."""
    width, height = draw.im.size
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, (bottom - top) // 6)
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(*(x for x, _ in corners), width - wide))
    upper = min(y for _, y in corners)
    y = upper - high if upper >= high else min(upper, height - high)
    draw.rectangle((x, y, x + wide, y + high), fill=colour)
    draw.text((x + pad - left, y + pad - top), text, fill=_readable_on(colour), font=font)


def _readable_on(colour: str) -> str:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return "white" if 299 * red + 587 * green + 114 * blue < 140_000 else "black"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them does not exist
        return False
