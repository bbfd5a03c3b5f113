"""Weights beside their graphs: one .onnx_data file, written a tensor at a time, that several graphs name."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# onnxruntime maps a tensor instead of reading it where it begins on a page.
_PAGE = 4096
_ALIGNED = 64


@dataclass(frozen=True)
class Entry:
    """A tensor inside a data file, row-major and little-endian."""

    file: str  # name, beside the graphs
    offset: int  # bytes
    dtype: str  # numpy's name
    shape: tuple[int, ...]

    @property
    def length(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class DataFile:
    """A data file being written. Used in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file cannot be written."""
        self.path = path
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, *parts: NDArray[Any]) -> Entry:
        """Append the parts as one tensor, one below the other along the first axis. Raises as write_parts."""
        first = parts[0]
        return self.write_parts((sum(map(len, parts)), *first.shape[1:]), first.dtype, parts)

    def write_parts(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[NDArray[Any]]
    ) -> Entry:
        """The same for parts that are made one at a time.

        A tensor of a page or more begins on a page. Raises OSError where the disk is full, ValueError for
        parts that do not make a tensor of that shape.
        """
        end = self._file.tell()
        entry = Entry(self.path.name, end, dtype.name, shape)
        entry = replace(entry, offset=end + -end % (_PAGE if entry.length >= _PAGE else _ALIGNED))
        self._file.write(bytes(entry.offset - end))
        rows = 0
        for part in parts:
            if part.dtype != dtype or part.shape[1:] != shape[1:]:
                raise ValueError("parts of one tensor must differ in their first axis only")
            self._file.write(np.ascontiguousarray(part).data)
            rows += len(part)
        if rows != shape[0]:
            raise ValueError(f"parts of one tensor have {rows} rows, not {shape[0]}")
        return entry


def read_entry(folder: Path, entry: Entry) -> NDArray[Any]:
    """A memory map of the tensor. Raises OSError or ValueError if the file is missing or too short."""
    return np.memmap(folder / entry.file, entry.dtype, "r", entry.offset, entry.shape)
