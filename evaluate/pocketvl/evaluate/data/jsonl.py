"""JSON lines: an object a line with image or images, video or videos, question, answer or answers, and more
if wanted.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pocketvl.evaluate.data.question import BadRow, ImageRef
from pocketvl.evaluate.data.record import (
    Record,
    attempt,
    base64_or_none,
    image_file,
    image_location,
    refusal,
)
from pocketvl.evaluate.data.video import video_refs
from pocketvl.export.tiny.example import Box
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.files import read_lines

_KEYS = (
    "image",
    "images",
    "video",
    "videos",
    "question",
    "answer",
    "answers",
    "id",
    "task",
    "choices",
    "box",
)


def jsonl_records(path: Path) -> Iterator[Record | BadRow]:
    """One per line that is not blank; a BadRow names line and key of what cannot be used."""
    for number, line in enumerate(read_lines(path, UsageError), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield attempt(where, partial(_record, path, where, number, line))


def _record(path: Path, where: str, number: int, line: bytes) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not valid JSON ({error}); write one object a line.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object; write one object a line.")
    for key in value:
        if key not in _KEYS:
            raise refusal(where, repr(key), "is not known", f"known keys are {', '.join(_KEYS)}")
    name = str(value.get("id", number))
    sources = _texts(value, where, "image", "images", required=False)
    return Record(
        where=where,
        id=name,
        task=str(value.get("task", path.stem)),
        images=tuple(
            _image(path, source, where, image_location(where, name, i, len(sources)))
            for i, source in enumerate(sources)
        ),
        question=_question(value, where),
        answers=_texts(value, where, "answer", "answers", required=True),
        choices=_texts(value, where, "choices", "choices", required=False),
        box=_box(value.get("box"), where),
        videos=video_refs(value, path.parent, where),
    )


def _question(value: dict[str, Any], where: str) -> str:
    text = value.get("question")
    if not isinstance(text, str) or not text.strip():
        raise refusal(where, "question", "is no text", "write the question as a string")
    return text


def _texts(value: dict[str, Any], where: str, one: str, many: str, *, required: bool) -> tuple[str, ...]:
    """A string under `one`, or a list of strings under `many`; either key takes either."""
    keys = [key for key in dict.fromkeys((one, many)) if key in value]
    if len(keys) > 1:
        raise refusal(where, one, f"stands beside {many}", "keep one of the two")
    if not keys:
        if required:
            raise refusal(where, one, "is missing", f"give {one} or {many}")
        return ()
    given = value[keys[0]]
    items = given if isinstance(given, list) else [given]
    if not items or not all(isinstance(i, str | int | float) and not isinstance(i, bool) for i in items):
        raise refusal(where, keys[0], "must be a string or a list of strings", "write it as one")
    return tuple(str(item) for item in items)


def _image(path: Path, source: str, where: str, location: str) -> ImageRef:
    if source.startswith("data:"):
        return _data_url(source, where, location)
    return image_file(path.parent / source, where, "image", location)


def _data_url(url: str, where: str, location: str) -> ImageRef:
    head, _, body = url.partition(",")
    data = base64_or_none(body) if head.lower().endswith(";base64") else None
    if data is None:
        raise refusal(where, "image", "the data: URL holds no base64", "write data:image/png;base64,...")
    return ImageRef(location, hashlib.sha256(data).hexdigest(), lambda: data)


def _box(value: Any, where: str) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(type(side) is int for side in value):
        raise refusal(where, "box", "must be four integers", "write [left, top, right, bottom] in 0..1000")
    left, top, right, bottom = value
    if not (0 <= left < right <= 1000 and 0 <= top < bottom <= 1000):
        raise refusal(where, "box", "encloses nothing", "write [left, top, right, bottom] in 0..1000")
    return left, top, right, bottom
