"""Boxes and quads in prompts: where something is in an image, in Qwen2-VL's own markup.

The model counts in thousandths of the image's width and height (Wang et al. 2024, arXiv:2409.12191,
section 2.1): <|box_start|>(x1,y1),(x2,y2)<|box_end|>. Pixels are those of the image as it was given, upright.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from pocketvl.runtime.errors import PromptError

THOUSAND = 1000
_NUMBERS = {"box": 4, "quad": 8}

Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True)
class Shape:
    """A box (two corners) or a quad (four) that a message names.

    numbers: x1, y1, x2, y2, ... in thousandths, or in pixels of `image` if that is said: its number in the
    conversation, from 0; None is the last image before the shape.
    """

    kind: str
    numbers: tuple[float, ...]
    in_pixels: bool = False
    image: int | None = None


def parse_shape(part: Mapping[str, Any], kind: str, where: str) -> Shape:
    """Of {"type": kind, kind: [...]} or {"type": kind, "pixels": [...], "image": n}. Raises PromptError."""
    in_pixels = "pixels" in part
    key = "pixels" if in_pixels else kind
    if in_pixels and kind in part:
        raise PromptError(f"{where} gives both {kind!r} and 'pixels'; leave one out.")
    numbers, count = part.get(key), _NUMBERS[kind]
    if not isinstance(numbers, (list, tuple)) or len(numbers) != count or not all(map(_is_number, numbers)):
        raise PromptError(f"{where}.{key} must be a list of {count} numbers x1, y1, x2, y2, ...")
    most = math.inf if in_pixels else THOUSAND
    for value in numbers:
        if not 0 <= value <= most:
            raise PromptError(
                f"{where}.{key} holds {value}, but coordinates lie in 0..{THOUSAND} of the image, or in the"
                " image as 'pixels'."
            )
    if kind == "box" and not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise PromptError(
            f"{where}.{key} encloses nothing; give the upper left corner, then the lower right."
        )
    image = part.get("image")
    if image is not None and not (in_pixels and type(image) is int and image >= 0):
        raise PromptError(
            f"{where}.image must be the number of an image, from 0, and goes with 'pixels' alone."
        )
    return Shape(kind, tuple(numbers), in_pixels, image)


def to_thousandths(value: float, side: int) -> int:
    """A pixel coordinate along a side of `side` pixels; halves are rounded up."""
    return min(THOUSAND, math.floor(value * THOUSAND / side + 0.5))


def to_pixels(value: float, side: int) -> float:
    """The inverse, without rounding."""
    return value * side / THOUSAND


def in_thousandths(shape: Shape, sizes: Sequence[Size]) -> Shape:
    """`sizes` are those of all images before the shape, or of all there are if it names one.

    Raises PromptError where there is no such image, or the shape lies outside of it.
    """
    if not shape.in_pixels:
        return shape
    number = len(sizes) - 1 if shape.image is None else shape.image
    if not 0 <= number < len(sizes):
        raise PromptError(
            f"A {shape.kind} in pixels refers to image {max(number, 0)}, but there are {len(sizes)} images"
            " (counted from 0); put it after its image, or give thousandths."
        )
    height, width = sizes[number]
    if max(shape.numbers[::2]) > width or max(shape.numbers[1::2]) > height:
        raise PromptError(
            f"The {shape.kind} {list(shape.numbers)} lies outside of image {number}, which has"
            f" {width}x{height} pixels."
        )
    sides = (width, height)
    numbers = tuple(to_thousandths(value, sides[i % 2]) for i, value in enumerate(shape.numbers))
    return Shape(shape.kind, numbers)


def markup(shape: Shape) -> str:
    """The numbers as the model writes them: (x1,y1),(x2,y2), whole thousandths."""
    numbers = [to_thousandths(value, THOUSAND) for value in shape.numbers]
    return ",".join(f"({x},{y})" for x, y in zip(numbers[::2], numbers[1::2], strict=True))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's numbers are such, too
        return False
    return isinstance(value, Integral) or math.isfinite(value)
