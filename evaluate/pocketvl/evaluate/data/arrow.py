"""A folder that Hugging Face `datasets` wrote with save_to_disk: Arrow files and a description."""

import hashlib
import importlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pocketvl.evaluate.data.question import BadRow, ImageRef
from pocketvl.evaluate.data.record import Record, attempt, image_location, refusal
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.extras import import_failure
from pocketvl.runtime.files import read_bytes, regular_size
from pocketvl.runtime.media.image import MOST_BYTES

_IDS = ("id", "index", "question_id", "questionId")


def is_arrow(folder: Path) -> bool:
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def arrow_records(folder: Path) -> Iterator[Record | BadRow]:
    """Columns image (an image or a list of them), question, answer or answers, and id, task, choices.

    A BadRow names row and column of what cannot be used. Raises MissingExtraError without `datasets`,
    UsageError for a folder that cannot be read or lacks a column.
    """
    rows = _open(folder)
    columns = rows.column_names
    names = [name for name in ("answers", "answer") if name in columns]
    for column in ("image", "question"):
        if column not in columns:
            raise refusal(str(folder), column, "this column is missing", f"it has {', '.join(columns)}")
    if not names:
        raise refusal(str(folder), "answer", "this column is missing", f"it has {', '.join(columns)}")
    id_column = next((name for name in _IDS if name in columns), None)
    for number in range(len(rows)):
        where = f"{folder}, row {number}"
        yield attempt(where, partial(_record, folder, where, rows, number, id_column, names[0]))


def _record(folder: Path, where: str, rows: Any, number: int, id_column: str | None, answers: str) -> Record:
    row = rows[number]
    name = str(number if id_column is None else row[id_column])
    images = _list(row["image"])
    return Record(
        where=where,
        id=name,
        task=str(row.get("task") or folder.name),
        images=tuple(
            ImageRef(
                image_location(where, name, i, len(images)),
                hashlib.sha256(_bytes(image, where)).hexdigest(),
                _Cell(rows, number, i, where),
            )
            for i, image in enumerate(images)
        ),
        question=_text(row["question"], where),
        answers=_answers(row[answers], answers, where),
        choices=tuple(str(choice) for choice in _list(row.get("choices"))),
    )


def _open(folder: Path) -> Any:
    try:
        datasets: Any = importlib.import_module("datasets")
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, f"Reading {folder} needs `datasets`", "datasets") from None
    for file in folder.rglob("*"):
        if not file.is_dir():
            regular_size(file, UsageError)
    try:
        rows = datasets.load_from_disk(str(folder))
    except Exception as error:  # Arrow and datasets have many exceptions for a damaged file
        raise UsageError(f"{folder} cannot be read ({error}); save the dataset again.") from None
    if isinstance(rows, datasets.DatasetDict):
        raise UsageError(f"{folder} holds several splits; give one of them: {', '.join(map(str, rows))}.")
    # Images stay encoded until they are asked for.
    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


class _Cell:
    def __init__(self, rows: Any, row: int, number: int, where: str) -> None:
        self._rows = rows
        self._place = row, number
        self._where = where

    def __call__(self) -> bytes:
        row, number = self._place
        return _bytes(_list(self._rows[row]["image"])[number], self._where)


def _bytes(image: Any, where: str) -> bytes:
    """The encoded image of an undecoded Image cell: its bytes, or the file that it names."""
    if isinstance(image, dict):
        data = image.get("bytes")
        if isinstance(data, bytes):
            return data
        try:
            return read_bytes(Path(str(image.get("path"))), UsageError, MOST_BYTES)
        except UsageError as error:
            raise UsageError(
                f"{where}, image: {error} Or save the dataset with its images embedded."
            ) from None
    if isinstance(image, bytes):
        return image
    raise refusal(where, "image", "is no image", "save the column as datasets.Image()")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refusal(where, "question", "is no text", "write the question as a string")
    return value


def _answers(value: Any, column: str, where: str) -> tuple[str, ...]:
    answers = tuple(str(answer) for answer in _list(value))
    if not answers:
        raise refusal(where, column, "is empty", "take a split that comes with its answers")
    return answers


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
