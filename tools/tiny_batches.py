"""Makes training batches: conversations about pictures of one size, as token ids with M-RoPE positions."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from tiny_files import DEFAULT_SYSTEM, SYSTEMS, TALK
from tokenizers import Tokenizer

from pocketvl.export.tiny.drawing import KINDS, Part
from pocketvl.export.tiny.example import Split
from pocketvl.export.tiny.tasks import PART_NAMES, SIDES, TASKS, Asked, make_drawn

GRID = 28
_NAME_INDEX = {name: place for place, name in enumerate(PART_NAMES)}


@dataclass
class Batch:
    """``size`` samples of at most ``length`` tokens and their pictures, all of one size.

    ids int64 [size, length]; positions int64 [3, size, length]; weights float32 [size, length], over zero
    where the *next* token belongs to an answer; answers int64 [size, length], which answer it is or -1;
    pixels uint8 [pictures, height, width, 3]; parts float32 [pictures, tokens, names], 1 where a picture's
    token shows what the name says; places float32 [pictures, tokens, 6], the box of the shape there (NaN if
    none) and the token's own middle, all in 0..1. words int64 [words, 2], sample and place of the last word
    of each question that names a part; word_parts float32 [words, names + 40] and word_boxes float32
    [words, 4], that part; the 40 are the first digits of its box in thousandths.
    """

    ids: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    answers: np.ndarray
    pixels: np.ndarray
    parts: np.ndarray
    places: np.ndarray
    words: np.ndarray
    word_parts: np.ndarray
    word_boxes: np.ndarray
    tasks: list[str]
    truths: list[Asked]


@dataclass
class _Sample:
    """A conversation while it is put together."""

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    parts: list[tuple[Part, ...]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    truths: list[Asked] = field(default_factory=list)
    words: list[tuple[int, Part, tuple[int, int]]] = field(default_factory=list)
    start: int = 0

    def add_text(self, ids: tuple[int, ...]) -> None:
        self.ids += ids
        self.positions += [(place, place, place) for place in range(self.start, self.start + len(ids))]
        self.start += len(ids)

    def add_image(
        self, image: Image.Image, parts: tuple[Part, ...], rows: int, columns: int, token: int
    ) -> None:
        self.images.append(image)
        self.parts.append(parts)
        self.ids += [token] * (rows * columns)
        start = self.start
        self.positions += [
            (start, start + row, start + column) for row in range(rows) for column in range(columns)
        ]
        self.start += max(rows, columns)


class Batches:
    """Batches by number: the same number, seed and task shares always give the same batch."""

    def __init__(self, tokenizer: Tokenizer, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.image_token = tokenizer.token_to_id("<|image_pad|>")
        self.encode = functools.lru_cache(maxsize=100_000)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False).ids)
        )

    def training(self, number: int, shares: dict[str, float]) -> Batch:
        """Batch ``number`` of the training stream, tasks mixed by ``shares``."""
        rng = random.Random(self.seed * 1_000_003 + number)
        # Large pictures cost most and teach the same: a few of them do.
        columns, rows = (side // GRID for side in rng.choices(SIDES, (0.45, 0.43, 0.12), k=2))
        turns = rng.choices((1, 2, 3, 5), (0.3, 0.2, 0.3, 0.2))[0]
        odd = rng.random() < 0.2
        names = [task for task in TASKS if task != "pair" or rows * columns <= 16]
        samples = []
        for place in range(self.size):
            if rng.random() < 0.02:
                samples.append(self._talk(rng))
                continue
            task = rng.choices(names, [shares[name] for name in names])[0]
            wide, high = columns * GRID, rows * GRID
            if odd:
                wide, high = wide + rng.randint(-12, 12), high + rng.randint(-12, 12)
            # Every picture of the stream has an index of its own.
            index = number * self.size + place
            samples.append(
                self._conversation(rng, task, index, "train", (wide, high), (columns, rows), turns)
            )
        return self._collate(samples, columns, rows)

    def lettering(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, parts and places (as in ``Batch``) of pictures of text, for the encoder alone."""
        rng = random.Random(self.seed * 1_000_003 + number + (1 << 50))
        columns, rows = (side // GRID for side in rng.choices(SIDES, (0.45, 0.43, 0.12), k=2))
        shape = columns * GRID, rows * GRID
        pixels, shown = [], []
        for place in range(2 * self.size):
            drawn = make_drawn("read", number * 2 * self.size + place + (1 << 41), "train", shape)
            pixels.append(np.asarray(drawn.images[0]))
            shown.append(_token_targets(shape, drawn.parts[0], columns, rows))
        names, places = (np.stack(kind) for kind in zip(*shown, strict=True))
        return np.stack(pixels), names, places

    def held_out(self, task: str, first: int, number: int, columns: int, rows: int) -> Batch:
        """``number`` held-out examples of one task, one turn each."""
        rng = random.Random(0)
        size = columns * GRID, rows * GRID
        samples = [
            self._conversation(rng, task, first + place, "held-out", size, (columns, rows), 1, plain=True)
            for place in range(number)
        ]
        return self._collate(samples, columns, rows)

    def _open(self, rng: random.Random, plain: bool) -> _Sample:
        sample = _Sample()
        system = DEFAULT_SYSTEM if plain or rng.random() < 0.9 else rng.choice(SYSTEMS)
        sample.add_text(self.encode(f"<|im_start|>system\n{system}<|im_end|>\n"))
        return sample

    def _answer(self, sample: _Sample, task: str, asked: Asked) -> None:
        sample.add_text(self.encode("<|im_end|>\n<|im_start|>assistant\n"))
        begin = len(sample.ids)
        sample.add_text(self.encode(asked.answer + "<|im_end|>"))
        sample.spans.append((begin, len(sample.ids)))
        sample.tasks.append(task)
        sample.truths.append(asked)
        sample.add_text(self.encode("\n"))

    def _talk(self, rng: random.Random) -> _Sample:
        sample = self._open(rng, False)
        question, answer = rng.choice(TALK)
        sample.add_text(self.encode(f"<|im_start|>user\n{question}"))
        self._answer(sample, "talk", Asked(question, answer))
        return sample

    def _conversation(
        self,
        rng: random.Random,
        task: str,
        index: int,
        split: Split,
        size: tuple[int, int],
        grid: tuple[int, int],
        turns: int,
        plain: bool = False,
    ) -> _Sample:
        columns, rows = grid
        sample = self._open(rng, plain)
        drawn = make_drawn(task, index, split, size)
        images = tuple(zip(drawn.images, drawn.parts, strict=True))
        text_first = not plain and rng.random() < 0.08
        questions = drawn.asked
        aside = not plain and task in ("colour", "point") and rng.random() < 0.3
        if aside:
            # Questions that are no task of their own, such as a shape's kind, teach what the tasks build on.
            questions = questions[1:]
        for turn, asked in enumerate(questions[:turns]):
            sample.add_text(self.encode("<|im_start|>user\n"))
            if text_first:
                sample.add_text(self.encode(asked.question))
            for image, parts in images:
                sample.add_text(self.encode("<|vision_start|>"))
                sample.add_image(image, parts, rows, columns, self.image_token)
                sample.add_text(self.encode("<|vision_end|>"))
            if not text_first:
                sample.add_text(self.encode(asked.question))
            if asked.about is not None and not text_first:
                # The token before the question mark.
                sample.words.append((len(sample.ids) - 2, asked.about, drawn.images[0].size))
            images, text_first = (), False
            self._answer(sample, task if turn == 0 and not aside else "later", asked)
        if turns > 1 and len(drawn.images) == 1 and task == "read" and rng.random() < 0.5:
            # A new picture in a later turn: the answer must come from the new one.
            other = make_drawn(task, index + (1 << 40), split, size)
            sample.add_text(self.encode("<|im_start|>user\n<|vision_start|>"))
            sample.add_image(other.images[0], other.parts[0], rows, columns, self.image_token)
            sample.add_text(self.encode("<|vision_end|>") + self.encode(other.asked[0].question))
            self._answer(sample, "later", other.asked[0])
        return sample

    def _collate(self, samples: list[_Sample], columns: int, rows: int) -> Batch:
        length = max(len(sample.ids) for sample in samples)
        length += -length % 4
        ids = np.zeros((len(samples), length), np.int64)
        positions = np.zeros((3, len(samples), length), np.int64)
        weights = np.zeros((len(samples), length), np.float32)
        answers = np.full((len(samples), length), -1, np.int64)
        pixels: list[np.ndarray] = []
        shown: list[tuple[np.ndarray, np.ndarray]] = []
        tasks: list[str] = []
        truths: list[Asked] = []
        shape = (columns * GRID, rows * GRID)
        for place, sample in enumerate(samples):
            ids[place, : len(sample.ids)] = sample.ids
            positions[:, place, : len(sample.ids)] = np.asarray(sample.positions).T
            for begin, end in sample.spans:
                # Weighted so that a box of seventeen tokens does not drown an answer of two.
                weights[place, begin - 1 : end - 1] = (end - begin) ** -0.3
                answers[place, begin - 1 : end - 1] = len(tasks) + sample.spans.index((begin, end))
            tasks += sample.tasks
            truths += sample.truths
            for image, parts in zip(sample.images, sample.parts, strict=True):
                shown.append(_token_targets(image.size, parts, columns, rows))
                fitted = image if image.size == shape else image.resize(shape, Image.Resampling.BICUBIC)
                pixels.append(np.asarray(fitted))
        words = [(place, *word) for place, sample in enumerate(samples) for word in sample.words]
        word_places = np.array([word[:2] for word in words], np.int64).reshape(-1, 2)
        word_parts = np.zeros((len(words), len(PART_NAMES) + 40), np.float32)
        word_boxes = np.zeros((len(words), 4), np.float32)
        for number, (_, _, part, size) in enumerate(words):
            word_parts[number, [_NAME_INDEX[name] for name in part.names]] = 1
            word_boxes[number] = [edge / size[side % 2] for side, edge in enumerate(part.box)]
            digits = (word_boxes[number] * 10 + 0.05).astype(int).clip(0, 9)
            word_parts[number, len(PART_NAMES) + 10 * np.arange(4) + digits] = 1
        names, places = (np.stack(kind) for kind in zip(*shown, strict=True))
        asked = word_places, word_parts, word_boxes
        return Batch(ids, positions, weights, answers, np.stack(pixels), names, places, *asked, tasks, truths)


def _token_targets(
    size: tuple[int, int], parts: tuple[Part, ...], columns: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """What each token of a picture shows: [tokens, names] and [tokens, 6], as ``Batch`` describes them."""
    names = np.zeros((rows, columns, len(PART_NAMES)), np.float32)
    places = np.full((rows, columns, 6), np.nan, np.float32)
    places[:, :, 4] = (np.arange(columns) + 0.5) / columns
    places[:, :, 5] = ((np.arange(rows) + 0.5) / rows)[:, None]
    most = np.zeros((rows, columns), np.float32)
    for part in parts:
        left, top, right, bottom = (edge / size[place % 2] for place, edge in enumerate(part.box))
        wide = np.minimum(right * columns, np.arange(columns) + 1) - np.maximum(
            left * columns, np.arange(columns)
        )
        high = np.minimum(bottom * rows, np.arange(rows) + 1) - np.maximum(top * rows, np.arange(rows))
        shared = np.outer(high.clip(0), wide.clip(0))
        covered = shared / min(1.0, (right - left) * columns * (bottom - top) * rows)
        for name in part.names:
            index = _NAME_INDEX[name]
            names[:, :, index] = np.maximum(names[:, :, index], covered > 0.3)
        if part.names[0] in KINDS:
            nearer = (covered > 0.3) & (covered > most)
            places[nearer, :4] = (left, top, right, bottom)
            most = np.maximum(most, covered)
            # Every shape has one middle, so middles can be counted.
            row, column = int((top + bottom) / 2 * rows), int((left + right) / 2 * columns)
            names[row, column, _NAME_INDEX["middle"]] = 1
    return names.reshape(rows * columns, -1), places.reshape(rows * columns, 6)
