"""One line of a dataset file, before it becomes a question."""

import base64
from dataclasses import dataclass

from pocketvl.evaluate.data.question import ImageRef
from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import UsageError


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
