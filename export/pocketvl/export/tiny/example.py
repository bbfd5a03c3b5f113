"""One question about one or two pictures with its exact answer, and how right an answer is, from 0 to 1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from PIL import Image

Split = Literal["train", "held-out"]
Box = tuple[int, int, int, int]
_BOX = re.compile(r"\((\d+),\s*(\d+)\)\s*,\s*\((\d+),\s*(\d+)\)")


@dataclass(frozen=True)
class Example:
    """A picture question whose answer is known from how the picture was drawn.

    ``box`` is (left, top, right, bottom) in 0..1000 of the picture's width and height, for "point" only.
    """

    task: str
    images: tuple[Image.Image, ...]
    question: str
    answer: str
    box: Box | None = None


def parse_box(answer: str) -> Box | None:
    """The first ``(x1,y1),(x2,y2)`` in the answer, or None if there is none or it encloses nothing."""
    found = _BOX.search(answer)
    if found is None:
        return None
    left, top, right, bottom = (int(digits) for digits in found.groups())
    if right <= left or bottom <= top:
        return None
    return left, top, right, bottom


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def score(example: Example, answer: str) -> float:
    """Exact match (white space around it does not count), or for a box its IoU with the true one."""
    if example.box is None:
        return float(answer.strip() == example.answer)
    box = parse_box(answer)
    return 0.0 if box is None else iou(box, example.box)
