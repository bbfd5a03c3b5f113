"""What is asked, and what counts as right."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import ImageError, MissingExtraError
from pocketvl.runtime.media.image import load_image

Encoded = bytes | Image.Image  # an encoded file, or pixels


@dataclass(frozen=True)
class ImageRef:
    """An image that is read when it is needed, so that a dataset may be larger than the memory."""

    where: str  # file and line or row, for messages
    identity: str  # sha256 in hex; equal for equal images
    read: Callable[[], Encoded] = field(compare=False, repr=False)

    def load(self, on_note: Callable[[str], None] | None = None) -> Image.Image:
        """RGB, upright. `on_note` is called with a sentence about each thing not read by the letter.

        Raises ImageError or MissingExtraError that name file and question.
        """
        notes: list[str] = []
        try:
            image = load_image(self.read(), notes.append)
        except (ImageError, MissingExtraError) as error:
            raise type(error)(f"{self.where}: {error}") from None
        if on_note is not None:
            for note in notes:
                on_note(f"{self.where}: {note}")
        return image


@dataclass(frozen=True)
class Question:
    """One question. `prompt` is what the model reads, with the choices and the metric's instruction."""

    id: str
    task: str
    images: tuple[ImageRef, ...]
    prompt: str
    answers: tuple[str, ...]  # any of them is right (all of them count for `vqa`); never empty
    choices: tuple[str, ...]  # texts of the options A, B, ...; empty unless multiple choice
    metric: str
    box: Box | None = None  # (left, top, right, bottom) in 0..1000 of the image


@dataclass(frozen=True)
class BadRow:
    """A row of a dataset that cannot be used, and counts for nothing."""

    where: str  # file and line or row
    reason: str  # a sentence that names file, row and column


@dataclass(frozen=True)
class Dataset:
    name: str
    questions: tuple[Question, ...]
    fingerprint: str  # sha256 over all that can change an answer or its score
    bad_rows: tuple[BadRow, ...] = ()  # left out of the questions


def fingerprint(name: str, questions: tuple[Question, ...]) -> str:
    """sha256 in hex over ids, prompts, answers, metrics and images, in their order."""
    parts = [
        (q.id, q.task, [i.identity for i in q.images], q.prompt, q.answers, q.choices, q.metric, q.box)
        for q in questions
    ]
    return hashlib.sha256(json.dumps([name, parts]).encode()).hexdigest()
