"""An answer's tokens to text that reads well, and to the boxes in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pocketvl.runtime.text.grounding import THOUSAND, Size, to_pixels
from pocketvl.runtime.text.tokenizer import Tokenizer

_MARKUP = ("object_ref", "box", "quad")
_NUMBER = r"\s*(\d{1,4}(?:\.\d{1,9})?)\s*"
_BOX = re.compile(rf"\({_NUMBER},{_NUMBER}\)\s*,\s*\({_NUMBER},{_NUMBER}\)")
_QUAD = re.compile(r"\s*,\s*".join([rf"\({_NUMBER},{_NUMBER}\)"] * 4))
_NO_SPACE_AFTER = "([{"
_NO_SPACE_BEFORE = ".,;:!?)]}"


@dataclass(frozen=True)
class Box:
    """A box of an answer, in pixels of the image as it was given, upright.

    `image` is the image's number in the conversation, from 0. The model names none: it is the last one.
    """

    label: str  # what the answer calls it, maybe nothing
    image: int
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Quad:
    """Four corners (x, y) that an answer names, in the order in which it does; else like Box."""

    label: str
    image: int
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FoundBox:
    """corners: x1, y1, x2, y2 in thousandths of an image."""

    label: str
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class FoundQuad:
    """corners: x1, y1, ..., x4, y4 in thousandths of an image."""

    label: str
    corners: tuple[float, ...]


class AnswerText:
    """Text piece by piece as tokens arrive. The markup's tokens become spaces where words would touch.

    A box takes the label of the object named right before it, or before other boxes of the same object.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._boxes: list[FoundBox] = []
        self._quads: list[FoundQuad] = []
        self._pieces: list[str] = []
        self._stream = tokenizer.stream()
        self._marks = {
            tokenizer.token_id(f"<|{name}_{end}|>"): (name, end)
            for name in _MARKUP
            for end in ("start", "end")
        }
        self._inside = ""  # of which markup
        self._held: list[str] = []  # what was said there
        self._label = ""
        self._touches = False  # whether a mark came after the last text
        self._last = ""

    def push(self, token: int) -> str:
        """The text that this token completes, maybe none."""
        mark = self._marks.get(token)
        piece = self._stream.push(token)
        if mark is not None:
            self._mark(*mark)
        return self._add(piece)

    def finish(self) -> str:
        """What was held back."""
        return self._add(self._stream.finish())

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)

    @property
    def boxes(self) -> tuple[FoundBox, ...]:
        """Those said so far: the marked ones, or those that look like one if none is marked."""
        return tuple(self._boxes) or plain_boxes(self.text)

    @property
    def quads(self) -> tuple[FoundQuad, ...]:
        """The marked ones said so far."""
        return tuple(self._quads)

    def _mark(self, name: str, end: str) -> None:
        said = "".join(self._held)
        if end == "end" and name == self._inside == "object_ref":
            self._label = said.strip()
        if end == "end" and name == self._inside == "box":
            corners = parse_corners(said)
            if corners is not None:
                self._boxes.append(FoundBox(self._label, corners))
        if end == "end" and name == self._inside == "quad":
            points = parse_quad(said)
            if points is not None:
                self._quads.append(FoundQuad(self._label, points))
        self._inside = name if end == "start" else ""
        self._held.clear()
        self._touches = True

    def _add(self, piece: str) -> str:
        if not piece:
            return ""
        if self._inside:
            self._held.append(piece)
        elif any(char.isalnum() for char in piece):
            self._label = ""  # another sentence
        if self._touches and needs_space(self._last, piece[0]):
            piece = f" {piece}"
        self._touches = False
        self._last = piece[-1]
        self._pieces.append(piece)
        return piece


def needs_space(before: str, after: str) -> bool:
    """Whether a space belongs between two characters that a mark parted; `before` may be none."""
    if not before or before.isspace() or after.isspace():
        return False
    return before not in _NO_SPACE_AFTER and after not in _NO_SPACE_BEFORE


def parse_corners(text: str) -> tuple[float, float, float, float] | None:
    """Of "(x1,y1),(x2,y2)" in thousandths; None for anything else, and for a box that encloses nothing."""
    found = _BOX.fullmatch(text.strip())
    return None if found is None else _corners(found)


def parse_quad(text: str) -> tuple[float, ...] | None:
    """Of "(x1,y1),(x2,y2),(x3,y3),(x4,y4)" in thousandths; None for anything else."""
    found = _QUAD.fullmatch(text.strip())
    numbers = () if found is None else tuple(map(float, found.groups()))
    return numbers if numbers and max(numbers) <= THOUSAND else None


def plain_boxes(text: str) -> tuple[FoundBox, ...]:
    """Boxes that an answer writes without marking them, as small models do; without labels."""
    found = (_corners(match) for match in _BOX.finditer(text))
    return tuple(FoundBox("", corners) for corners in found if corners is not None)


def _corners(found: re.Match[str]) -> tuple[float, float, float, float] | None:
    x1, y1, x2, y2 = map(float, found.groups())
    return (x1, y1, x2, y2) if x1 < x2 <= THOUSAND and y1 < y2 <= THOUSAND else None


def boxes_in_pixels(found: Sequence[FoundBox], sizes: Sequence[Size]) -> tuple[Box, ...]:
    """`sizes`: of the conversation's images. Without an image a box means nothing."""
    if not sizes:
        return ()
    height, width = sizes[-1]
    return tuple(
        Box(
            box.label,
            len(sizes) - 1,
            to_pixels(box.corners[0], width),
            to_pixels(box.corners[1], height),
            to_pixels(box.corners[2], width),
            to_pixels(box.corners[3], height),
        )
        for box in found
    )


def quads_in_pixels(found: Sequence[FoundQuad], sizes: Sequence[Size]) -> tuple[Quad, ...]:
    """As boxes_in_pixels."""
    if not sizes:
        return ()
    height, width = sizes[-1]
    return tuple(
        Quad(
            quad.label,
            len(sizes) - 1,
            tuple(
                (to_pixels(x, width), to_pixels(y, height))
                for x, y in zip(quad.corners[::2], quad.corners[1::2], strict=True)
            ),
        )
        for quad in found
    )
