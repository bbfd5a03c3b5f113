"""One line of a dataset file, before it becomes a question."""

import base64
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pocketvl.evaluate.data.question import BadRow, ImageRef
from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import UsageError

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


def refusal(where: str, column: str, problem: str, remedy: str) -> UsageError:
    """The error for a value that cannot be used; `where` names file and line."""
    return UsageError(f"{where}, {column}: {problem}; {remedy}.")


def attempt(where: str, read: Callable[[], T]) -> T | BadRow:
    """What `read` returns, or a BadRow with the sentence of the UsageError that it raised."""
    try:
        return read()
    except UsageError as error:
        return BadRow(where, str(error))


def read_image_file(file: Path, where: str, column: str, remedy: str) -> bytes:
    """The bytes of a regular file; a pipe would be waited for without end. Raises UsageError."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise refusal(where, column, f"the image {file} is not a regular file", remedy)
        return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise refusal(where, column, f"the image {file} cannot be read ({reason})", remedy) from None


def decode_base64(text: str) -> bytes | None:
    """The bytes, None if the text is no base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except ValueError:
        return None


def image_location(where: str, record_id: str, number: int, total: int) -> str:
    """How messages name a picture."""
    which = f"picture {number + 1} of {total}" if total > 1 else "the picture"
    return f"{where}, {which} of question {record_id}"
