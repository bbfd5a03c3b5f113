"""One question about one or two pictures, with its exact answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

Split = Literal["train", "held-out"]
Box = tuple[int, int, int, int]


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
