"""The tasks: each draws pictures from a random stream and asks about what it drew."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from pocketvl.export.tiny.drawing import (
    COLOURS,
    KINDS,
    Part,
    Shape,
    box_of,
    box_text,
    draw_bars,
    draw_text,
    scene,
)
from pocketvl.export.tiny.example import Box, Example, Split

TRAINED_WORDS = tuple(
    """
    CAT DOG SUN MAP BUS CAR KEY BOX CUP HAT PEN BED EGG FOX BEE ANT OWL PIG COW HEN JAM TEA ICE SEA SKY
    AIR OIL RED BIG NEW OLD HOT WET DRY LOW ONE TWO SIX TEN YES NOT ALL TOP END WAY DAY VEX FIX RYE ZOO
    JOB KIT LIP MUD NUT ORE PIE RUG SAW TIN URN VAN WAX YAK ZEN IN ON UP GO NO OK TO AT BY ME WE
    """.split()  # noqa: SIM905
)

# Never in training: reading one of them needs letters, not a memorised word.
HELD_OUT_WORDS = tuple(
    """
    BAT LOG RUN CAP BAG JAR BOY TOY RAT NET PAN SIT FLY WEB ZIP GYM HUB JET KEG LAW MIX OAK POT RIB SPA
    TUB VET WIG YAM AXE DO SO IT HE
    """.split()  # noqa: SIM905
)

Size = tuple[int, int]

SIDES = (84, 112, 140)
MOST_SHAPES = 6
MOST_VALUE = 6
READ_QUESTIONS = ("Read the text.", "What does it say?", "What is written here?")
COUNT_QUESTION = "How many shapes are there?"
CONTENT_QUESTION = "What is in the picture?"
PART_NAMES = (
    *KINDS,
    *COLOURS,
    *string.digits,
    *string.ascii_uppercase,
    *(f"bar {value}" for value in range(1, MOST_VALUE + 1)),
    *(f"place {place}" for place in range(1, 4)),
    *("first", "second", "middle"),
    *(f"count {number}" for number in range(1, MOST_SHAPES + 1)),
)


@dataclass(frozen=True)
class Asked:
    """One question about a picture, its answer, and the part that the question's last word names, if any."""

    question: str
    answer: str
    box: Box | None = None
    about: Part | None = None


@dataclass(frozen=True)
class Drawn:
    """Pictures, what can be asked about them (the task's own question first), and each picture's parts."""

    images: tuple[Image.Image, ...]
    asked: tuple[Asked, ...]
    parts: tuple[tuple[Part, ...], ...]


def make_drawn(task: str, index: int, split: Split = "held-out", size: Size | None = None) -> Drawn:
    """The ``index``-th pictures of a task with all their questions.

    ``size`` is (width, height) of every picture; by default it is drawn from the same random stream.
    """
    if task not in _MAKERS:
        raise ValueError(f"unknown task {task!r}; known are {', '.join(_MAKERS)}")
    if split not in ("train", "held-out"):
        raise ValueError(f"unknown split {split!r}; known are train, held-out")
    # The split is part of what is hashed, so no held-out stream is ever a training stream.
    digest = hashlib.blake2b(f"pocketvl tiny {split} {task} {index}".encode(), digest_size=16).digest()
    rng = random.Random(int.from_bytes(digest, "big"))
    drawn_size = _draw_size(rng, task)
    return _MAKERS[task](rng, split, size or drawn_size)


def make_example(task: str, index: int, split: Split = "held-out") -> Example:
    """The ``index``-th example of a task: always the same for the same three arguments."""
    drawn = make_drawn(task, index, split)
    first = drawn.asked[0]
    return Example(task, drawn.images, first.question, first.answer, first.box)


def _draw_size(rng: random.Random, task: str) -> Size:
    """Width and height: most on the model's grid of 28 pixels, some off it."""
    sides = SIDES[:2] if task == "pair" else SIDES
    width, height = rng.choice(sides), rng.choice(sides)
    if rng.random() < 0.15:
        width, height = width + rng.randint(-9, 9), height + rng.randint(-9, 9)
    return width, height


def _text(rng: random.Random, split: Split) -> str:
    share = rng.random()
    if split == "train" and rng.random() < 0.25:
        # Single signs are where reading starts.
        return rng.choice(string.ascii_uppercase + string.digits)
    if share < 0.5:
        return str(rng.randint(0, 10 ** rng.randint(1, 3) - 1))
    if share < 0.8:
        return rng.choice(TRAINED_WORDS if split == "train" else HELD_OUT_WORDS)
    return "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 3)))


def _read(rng: random.Random, split: Split, size: Size) -> Drawn:
    text = _text(rng, split)
    image, parts = draw_text(rng, *size, text)
    asked = Asked(rng.choice(READ_QUESTIONS), text), Asked(CONTENT_QUESTION, "text")
    return Drawn((image,), asked, (parts,))


def _about_shapes(rng: random.Random, shapes: tuple[Shape, ...], size: Size, first: str) -> tuple[Asked, ...]:
    """Every question about a picture of shapes, in random order, one of the task ``first`` at the head."""
    kinds = [shape.kind for shape in shapes]
    everything = Part((f"count {len(shapes)}",), (0, 0, *size))
    questions: list[tuple[str, Asked]] = [
        ("count", Asked(COUNT_QUESTION, str(len(shapes)), about=everything)),
        ("content", Asked(CONTENT_QUESTION, "shapes")),
    ]
    for shape, part in zip(shapes, _parts(shapes), strict=True):
        if kinds.count(shape.kind) == 1:
            box = box_of(shape, *size)
            questions.append(("colour", Asked(f"What colour is the {shape.kind}?", shape.colour, about=part)))
            questions.append(("point", Asked(f"Where is the {shape.kind}?", box_text(box), box, part)))
            questions.append(("kind", Asked(f"Which shape is {shape.colour}?", shape.kind, about=part)))
    rng.shuffle(questions)
    head = next(place for place, (task, _) in enumerate(questions) if task == first)
    questions.insert(0, questions.pop(head))
    return tuple(asked for _, asked in questions)


def _parts(shapes: tuple[Shape, ...]) -> tuple[Part, ...]:
    return tuple(
        Part((shape.kind, shape.colour), (shape.x, shape.y, shape.x + shape.size, shape.y + shape.size))
        for shape in shapes
    )


def _count(rng: random.Random, _split: Split, size: Size) -> Drawn:
    image, shapes = scene(rng, *size, rng.choices(KINDS, k=rng.randint(1, MOST_SHAPES)))
    return Drawn((image,), _about_shapes(rng, shapes, size, "count"), (_parts(shapes),))


def _number(rng: random.Random, split: Split) -> int:
    """How many shapes to tell apart; in training most often two, which teach the most."""
    return rng.choice((1, 2, 3) if split == "held-out" else (1, 2, 2, 2, 3, 3))


def _colour(rng: random.Random, split: Split, size: Size) -> Drawn:
    image, shapes = scene(rng, *size, rng.sample(KINDS, _number(rng, split)))
    return Drawn((image,), _about_shapes(rng, shapes, size, "colour"), (_parts(shapes),))


def _point(rng: random.Random, split: Split, size: Size) -> Drawn:
    image, shapes = scene(rng, *size, rng.sample(KINDS, _number(rng, split)))
    return Drawn((image,), _about_shapes(rng, shapes, size, "point"), (_parts(shapes),))


def _chart(rng: random.Random, _split: Split, size: Size) -> Drawn:
    number = rng.randint(2, 4)
    labels = string.ascii_uppercase[:number]
    values = [rng.randint(1, MOST_VALUE) for _ in range(number)]
    image, parts = draw_bars(rng, *size, labels, values, MOST_VALUE)
    # Every second part is a letter; the bar before it is what the letter names.
    asked = [
        Asked(f"What is the value of {label}?", str(value), about=bar)
        for label, value, bar in zip(labels, values, parts[::2], strict=True)
    ]
    rng.shuffle(asked)
    return Drawn((image,), (*asked, Asked(CONTENT_QUESTION, "a chart")), (parts,))


def _pair(rng: random.Random, _split: Split, size: Size) -> Drawn:
    kinds = rng.sample(KINDS, len(KINDS))
    numbers = rng.randint(1, 2), rng.randint(1, 2)
    images: list[Image.Image] = []
    parts: list[tuple[Part, ...]] = []
    which: list[Asked] = []
    colours: list[Asked] = []
    for place, number in zip(("first", "second"), numbers, strict=True):
        image, shapes = scene(rng, *size, [kinds.pop() for _ in range(number)])
        images.append(image)
        parts.append(_parts(shapes))
        for shape, shown in zip(shapes, parts[-1], strict=True):
            part = Part((*shown.names, place), shown.box)
            which.append(Asked(f"Which picture shows a {shape.kind}?", place, about=part))
            colours.append(Asked(f"What colour is the {shape.kind}?", shape.colour, about=part))
    rng.shuffle(which)
    rest = which[1:] + colours
    rng.shuffle(rest)
    return Drawn(tuple(images), (which[0], *rest), tuple(parts))


_MAKERS: dict[str, Callable[[random.Random, Split, Size], Drawn]] = {
    "read": _read,
    "count": _count,
    "colour": _colour,
    "chart": _chart,
    "point": _point,
    "pair": _pair,
}
TASKS: tuple[str, ...] = tuple(_MAKERS)
