"""Makes training batches: conversations about pictures of one size, as token ids with M-RoPE positions."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from tiny_files import DEFAULT_SYSTEM, SYSTEMS, TALK
from tokenizers import Tokenizer

from pocketvl.export.tiny.example import Split
from pocketvl.export.tiny.tasks import SIDES, TASKS, Asked, make_drawn

GRID = 28


@dataclass
class Batch:
    """``size`` samples of at most ``length`` tokens and their pictures, all of one size.

    ids int64 [size, length]; positions int64 [3, size, length]; weights float32 [size, length], over zero
    where the *next* token belongs to an answer; answers int64 [size, length], which answer it is or -1;
    pixels uint8 [pictures, height, width, 3].
    """

    ids: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    answers: np.ndarray
    pixels: np.ndarray
    tasks: list[str]
    truths: list[Asked]


@dataclass
class _Sample:
    """A conversation while it is put together."""

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    truths: list[Asked] = field(default_factory=list)
    start: int = 0

    def add_text(self, ids: tuple[int, ...]) -> None:
        self.ids += ids
        self.positions += [(place, place, place) for place in range(self.start, self.start + len(ids))]
        self.start += len(ids)

    def add_image(self, image: Image.Image, rows: int, columns: int, token: int) -> None:
        self.images.append(image)
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
        turns = rng.choices((1, 2, 3), (0.55, 0.35, 0.10))[0]
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
        images = drawn.images
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
            for image in images:
                sample.add_text(self.encode("<|vision_start|>"))
                sample.add_image(image, rows, columns, self.image_token)
                sample.add_text(self.encode("<|vision_end|>"))
            if not text_first:
                sample.add_text(self.encode(asked.question))
            images, text_first = (), False
            self._answer(sample, task if turn == 0 and not aside else "later", asked)
        if turns > 1 and len(drawn.images) == 1 and task == "read" and rng.random() < 0.5:
            # A new picture in a later turn: the answer must come from the new one.
            other = make_drawn(task, index + (1 << 40), split, size)
            sample.add_text(self.encode("<|im_start|>user\n<|vision_start|>"))
            sample.add_image(other.images[0], rows, columns, self.image_token)
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
        tasks: list[str] = []
        truths: list[Asked] = []
        shape = (columns * GRID, rows * GRID)
        for place, sample in enumerate(samples):
            ids[place, : len(sample.ids)] = sample.ids
            positions[:, place, : len(sample.ids)] = np.asarray(sample.positions).T
            for begin, end in sample.spans:
                # Weighted so that a box of seventeen tokens does not drown an answer of two.
                weights[place, begin - 1 : end - 1] = (end - begin) ** -0.5
                answers[place, begin - 1 : end - 1] = len(tasks) + sample.spans.index((begin, end))
            tasks += sample.tasks
            truths += sample.truths
            for image in sample.images:
                fitted = image if image.size == shape else image.resize(shape, Image.Resampling.BICUBIC)
                pixels.append(np.asarray(fitted))
        return Batch(ids, positions, weights, answers, np.stack(pixels), tasks, truths)
