"""One line of a dataset file, before it becomes a question."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pocketvl.evaluate.data.question import BadRow, ImageRef, VideoRef
from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import ImageError, UsageError
from pocketvl.runtime.files import read_bytes
from pocketvl.runtime.media.image import MOST_BYTES, decode_base64

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """What the formats have in common. Texts as in the file."""

    where: str  # "docvqa.tsv, line 7"
    id: str
    task: str
    images: tuple[ImageRef, ...]
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    box: Box | None = None
    videos: tuple[VideoRef, ...] = ()


def refusal(where: str, column: str, problem: str, remedy: str) -> UsageError:
    """The error for a value that cannot be used; `where` names file and line."""
    return UsageError(f"{where}, {column}: {problem}; {remedy}.")


def attempt(where: str, read: Callable[[], T]) -> T | BadRow:
    """What `read` returns, or a BadRow with the sentence of the UsageError that it raised."""
    try:
        return read()
    except UsageError as error:
        return BadRow(where, str(error))


def base64_or_none(text: str) -> bytes | None:
    """The bytes, None if the text is no base64 or empty."""
    try:
        return decode_base64(text) or None
    except ValueError:
        return None


def image_file(file: Path, where: str, column: str, location: str) -> ImageRef:
    """An image that the dataset names by its path. Raises UsageError."""
    try:
        data = read_bytes(file, UsageError, MOST_BYTES)
    except UsageError as error:
        raise UsageError(f"{where}, {column}: {error} Paths count from the dataset's folder.") from None
    read = partial(read_bytes, file, ImageError, MOST_BYTES)
    return ImageRef(location, hashlib.sha256(data).hexdigest(), read)


def image_location(where: str, record_id: str, number: int, total: int) -> str:
    """How messages name an image."""
    which = f"image {number + 1} of {total}" if total > 1 else "the image"
    return f"{where}, {which} of question {record_id}"
