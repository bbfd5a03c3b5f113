"""What is asked, and what counts as right."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import ImageError, MissingExtraError
from pocketvl.runtime.media.image import load_image
from pocketvl.runtime.media.video.options import VideoOptions
from pocketvl.runtime.media.video.source import open_video
from pocketvl.runtime.text.messages import VideoPart

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
class VideoRef:
    """Read when it is asked about."""

    where: str  # file and line, for messages
    identity: str  # sha256 in hex; equal for equal videos and options
    source: Any = field(compare=False)  # what open_video takes
    options: VideoOptions = field(compare=False)

    @property
    def part(self) -> VideoPart:
        """As a parsed message has it."""
        return VideoPart(self.source, self.options)

    @property
    def content(self) -> dict[str, Any]:
        """As a part of a message."""
        return {"type": "video", "video": self.source, **asdict(self.options)}

    def check(self) -> None:
        """Open it. Raises ImageError or MissingExtraError that name file and question."""
        try:
            open_video(self.source)
        except (ImageError, MissingExtraError) as error:
            raise type(error)(f"{self.where}: {error}") from None


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
    videos: tuple[VideoRef, ...] = ()  # after the images


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
    """sha256 in hex over ids, prompts, answers, metrics, images and videos, in their order."""
    parts = [
        (q.id, q.task, media_identities(q), q.prompt, q.answers, q.choices, q.metric, q.box)
        for q in questions
    ]
    return hashlib.sha256(json.dumps([name, parts]).encode()).hexdigest()


def media_identities(question: Question) -> list[str]:
    """Of its images, then of its videos: no two of them are equal by chance."""
    return [image.identity for image in question.images] + [video.identity for video in question.videos]
