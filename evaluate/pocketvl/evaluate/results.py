"""The file of one run: a header, then one line per question, so that a stopped run can go on."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pocketvl.runtime.bundle.strict import from_json
from pocketvl.runtime.errors import ManifestError, PocketVLError, UsageError
from pocketvl.runtime.files import read_bytes

_MOST_BYTES = 1 << 30

T = TypeVar("T", "Header", "Result")

_REMEDY = "choose another folder with -o, or start anew with --overwrite."


@dataclass(frozen=True)
class Header:
    """What must be the same for a run to go on."""

    dataset: str
    fingerprint: str  # of the dataset
    bundle_sha256: str
    min_pixels: int
    max_pixels: int
    max_tokens: int
    pocketvl: str  # version


@dataclass(frozen=True)
class Result:
    """One answer and its score, 0..1. A question that could not be asked scores 0 and says why."""

    id: str
    task: str
    metric: str
    prompt: str
    answers: tuple[str, ...]
    answer: str
    token_ids: tuple[int, ...]  # as generated, the stop token included
    score: float
    seconds: float
    error: str | None = None
    unreadable: bool = (
        False  # an image could not be decoded: the data's fault, so that the score leaves it out
    )
    unparsed: bool = False  # the metric found no yes or no, option or box in the answer, which scores 0
    notes: tuple[str, ...] = ()  # about images that were not read by the letter


class ResultWriter:
    """Appends results; each is on the disk before the next question is asked."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def append(self, result: Result) -> None:
        _write(self._file, result)


@contextmanager
def open_results(path: Path, header: Header) -> Iterator[tuple[ResultWriter, tuple[Result, ...]]]:
    """The writer, and the results that an earlier run with the same header left.

    A last line that was cut off is taken out. Raises UsageError if the file belongs to another run or is
    no file of results.
    """
    done: tuple[Result, ...] = ()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (lines := _whole_lines(path)):
            _check_header(path, lines[0], header)
            done = tuple(_parsed(Result, path, i, line) for i, line in enumerate(lines[1:], start=2))
        else:
            path.write_text("", encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                _write(file, header)
            yield ResultWriter(file), done
    except OSError as error:
        raise PocketVLError(f"{path} cannot be written ({error.strerror}); choose another folder.") from None


def _whole_lines(path: Path) -> list[bytes]:
    """All lines but one that was cut off, which leaves the file, too."""
    data = read_bytes(path, UsageError, _MOST_BYTES)
    end = data.rfind(b"\n") + 1
    if end < len(data):
        with path.open("r+b") as file:
            file.truncate(end)
    return data[:end].splitlines()


def _check_header(path: Path, line: bytes, header: Header) -> None:
    found = _parsed(Header, path, 1, line)
    for field in dataclasses.fields(Header):
        theirs, ours = getattr(found, field.name), getattr(header, field.name)
        if theirs != ours:
            raise UsageError(f"{path} holds another run ({field.name} {theirs!r}, now {ours!r}); {_REMEDY}")


def _parsed(kind: type[T], path: Path, number: int, line: bytes) -> T:
    try:
        value: Any = json.loads(line)
        return from_json(kind, value, f"line {number}")
    except (ValueError, ManifestError) as error:
        raise UsageError(f"{path}, line {number} is no line of results ({error}); {_REMEDY}") from None


def _write(file: TextIO, value: Header | Result) -> None:
    file.write(json.dumps(dataclasses.asdict(value), ensure_ascii=False) + "\n")
    file.flush()
