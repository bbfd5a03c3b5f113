"""VLMEvalKit's tab-separated tables: a question a row, its images in base64.

Columns: index, question, answer; image (base64, a list of base64, or the index of the row that has the
image) or image_path; hint, category, A, B, C, ... or choices. Read from
https://github.com/open-compass/VLMEvalKit, vlmeval/dataset/image_base.py.
"""

import ast
import csv
import hashlib
import io
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pocketvl.evaluate.data.question import BadRow, ImageRef
from pocketvl.evaluate.data.record import (
    Record,
    attempt,
    base64_or_none,
    image_file,
    image_location,
    refusal,
)
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.files import MOST_TEXT, read_lines

if TYPE_CHECKING:
    import _csv

_LONGEST_POINTER = 64  # characters; base64 of an image is longer


@dataclass(frozen=True)
class _Row:
    """A row without its images, and where in the file they stand."""

    where: str
    span: tuple[int, int]  # bytes of the whole row
    cells: dict[str, str]  # all but image
    images: tuple[str, ...]  # sha256 of each image in it
    pointer: str | None  # index of the row that has the images

    @property
    def index(self) -> str:
        return self.cells["index"]


def tsv_records(path: Path, limit: int | None = None) -> Iterator[Record | BadRow]:
    """The first `limit` rows; a BadRow names line and column of what cannot be used.

    Rows are read as far as needed: to the limit, and to the last row that one of them points to. Raises
    UsageError for a file that is no table.
    """
    wanted: list[_Row | BadRow] = []
    known: dict[str, _Row] = {}
    pending: set[str] = set()
    for row in _rows(path):
        if isinstance(row, _Row):
            known.setdefault(row.index, row)
            pending.discard(row.index)
        if limit is None or len(wanted) < limit:
            wanted.append(row)
            if isinstance(row, _Row) and row.pointer is not None and row.pointer not in known:
                pending.add(row.pointer)
        elif not pending:
            break
    for row in wanted:
        yield row if isinstance(row, BadRow) else attempt(row.where, partial(_record, path, row, known))


def _rows(path: Path) -> Iterator[_Row | BadRow]:
    # An image is one field; the library's limit of 131,072 characters is below that of most.
    csv.field_size_limit(MOST_TEXT)
    lines = _CountedLines(path)
    reader = csv.reader(lines, delimiter="\t", strict=True)
    header = _next(reader, path)
    if header is None:
        raise UsageError(f"{path} is empty; download it again.")
    _check_header(header, path)
    start, line = lines.end, reader.line_num + 1
    while (cells := _next(reader, path)) is not None:
        if cells:
            where = f"{path}, line {line}"
            yield attempt(where, partial(_row, where, (start, lines.end), header, cells))
        start, line = lines.end, reader.line_num + 1


class _CountedLines:
    """Lines of a file as text, and how many bytes of it were read so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self.end = 0

    def __iter__(self) -> Iterator[str]:
        for line in read_lines(self._path, UsageError):
            self._number += 1
            self.end += len(line)
            try:
                yield line.decode("utf-8-sig" if self._number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(
                    f"{self._path}, line {self._number} is not UTF-8 ({error.reason}); convert the file."
                ) from None


def _next(reader: "_csv.Reader", path: Path) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num} is no row of a table ({error}); check its tabs and quotes."
        ) from None


def _check_header(header: list[str], path: Path) -> None:
    where = f"{path}, line 1"
    for column in ("index", "question", "answer"):
        if column not in header:
            raise refusal(where, column, "this column is missing", "name the columns in the first line")
    if len(set(header)) != len(header):
        double = next(column for column in header if header.count(column) > 1)
        raise refusal(where, repr(double), "this column stands twice", "rename one of them")


def _row(where: str, span: tuple[int, int], header: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(header):
        raise UsageError(
            f"{where} has {len(cells)} columns, but the first line names {len(header)}; check its tabs and"
            " quotes."
        )
    values = dict(zip(header, cells, strict=True))
    if not values["index"].strip():
        raise refusal(where, "index", "is empty", "give every row its own index")
    image = values.pop("image", "")
    if not image:
        return _Row(where, span, values, (), None)
    if len(image) <= _LONGEST_POINTER and not image.startswith("["):
        return _Row(where, span, values, (), image.strip())
    return _Row(where, span, values, _identities(image, where), None)


def _files_in(cell: str, where: str) -> list[bytes]:
    """Each image in a cell, as the file that it was."""
    texts = _list(cell) if cell.lstrip().startswith("[") else [cell]
    if not texts:
        raise refusal(where, "image", "is no list that can be read", "write ['base64', 'base64']")
    images = []
    for text in texts:
        data = base64_or_none(text)
        if data is None:
            raise refusal(where, "image", "is no base64", "download the table again")
        images.append(data)
    return images


def _record(path: Path, row: _Row, known: dict[str, _Row]) -> Record:
    cells, where = row.cells, row.where
    if known[row.index] is not row:
        raise refusal(where, "index", f"{row.index!r} occurs twice", "give every row its own index")
    if not cells["question"].strip():
        raise refusal(where, "question", "is empty", "give a question, or take the row out")
    hint = cells.get("hint", "")
    return Record(
        where=where,
        id=row.index,
        task=cells.get("category") or cells.get("split") or path.stem,
        images=_images(path, row, known),
        question=f"{hint}\n{cells['question']}" if hint.strip() else cells["question"],
        answers=_answers(cells["answer"], where),
        choices=_choices(cells, where),
    )


def _images(path: Path, row: _Row, known: dict[str, _Row]) -> tuple[ImageRef, ...]:
    if row.pointer is None and not row.images:
        return _image_files(path, row)
    holder = row if row.pointer is None else known.get(row.pointer)
    if holder is None or not holder.images:
        raise refusal(
            row.where,
            "image",
            f"{row.pointer!r} points to no row with an image",
            "write an image in base64 or the index of a row that has one",
        )
    total = len(holder.images)
    return tuple(
        ImageRef(image_location(row.where, row.index, i, total), sha, _Cell(path, holder.span, i))
        for i, sha in enumerate(holder.images)
    )


class _Cell:
    """Reads one image of a row again: a table may well be larger than the memory."""

    def __init__(self, path: Path, span: tuple[int, int], number: int) -> None:
        self._path = path
        self._span = span
        self._number = number

    def __call__(self) -> bytes:
        with self._path.open("rb") as file:
            header = next(csv.reader([file.readline().decode("utf-8-sig")], delimiter="\t"))
            file.seek(self._span[0])
            text = file.read(self._span[1] - self._span[0]).decode()
        cells = next(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
        return _files_in(cells[header.index("image")], str(self._path))[self._number]


def _image_files(path: Path, row: _Row) -> tuple[ImageRef, ...]:
    cell = row.cells.get("image_path", "").strip()
    names = (_list(cell) if cell.startswith("[") else [cell]) if cell else []
    if names is None:
        raise refusal(row.where, "image_path", "is no list that can be read", "write ['a.jpg', 'b.jpg']")
    images = []
    for number, name in enumerate(names):
        location = image_location(row.where, row.index, number, len(names))
        images.append(image_file(path.parent / name, row.where, "image_path", location))
    return tuple(images)


def _answers(cell: str, where: str) -> tuple[str, ...]:
    listed = _list(cell) if cell.lstrip().startswith("[") else None
    answers = (cell,) if listed is None else tuple(listed)
    if not answers or not all(answer.strip() for answer in answers):
        raise refusal(where, "answer", "is empty", "take a split that comes with its answers")
    return answers


def _choices(cells: dict[str, str], where: str) -> tuple[str, ...]:
    """The options A, B, ... up to the last one that is not empty."""
    given = [cells.get(letter, "") for letter in string.ascii_uppercase]
    while given and not given[-1].strip():
        given.pop()
    for letter, option in zip(string.ascii_uppercase, given, strict=False):
        if not option.strip():
            raise refusal(where, letter, "is empty, though later options are not", "close the gap")
    if given or not cells.get("choices", "").strip():
        return tuple(given)
    listed = _list(cells["choices"])
    if listed is None:
        raise refusal(where, "choices", "is no list that can be read", "write ['first', 'second']")
    return tuple(listed)


def _list(cell: str) -> list[str] | None:
    """A JSON or Python list of strings and numbers, None if it is none."""
    try:
        value = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        return None
    return [str(item) for item in value]


def _identities(cell: str, where: str) -> tuple[str, ...]:
    return tuple(hashlib.sha256(data).hexdigest() for data in _files_in(cell, where))
