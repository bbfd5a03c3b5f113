"""Weights beside their graphs: one .onnx_data file, written a tensor at a time, that several graphs name."""

from dataclasses import dataclass
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
        """Append the parts as one tensor, one below the other along the first axis.

        A tensor of a page or more begins on a page. Raises OSError where the disk is full.
        """
        first = parts[0]
        if any(part.dtype != first.dtype or part.shape[1:] != first.shape[1:] for part in parts):
            raise ValueError("parts of one tensor must differ in their first axis only")
        size = sum(part.nbytes for part in parts)
        end = self._file.tell()
        self._file.write(bytes(-end % (_PAGE if size >= _PAGE else _ALIGNED)))
        offset = self._file.tell()
        for part in parts:
            self._file.write(np.ascontiguousarray(part).data)
        shape = (sum(len(part) for part in parts), *first.shape[1:])
        return Entry(self.path.name, offset, first.dtype.name, shape)


def read_entry(folder: Path, entry: Entry) -> NDArray[Any]:
    """A memory map of the tensor. Raises OSError or ValueError if the file is missing or too short."""
    return np.memmap(folder / entry.file, entry.dtype, "r", entry.offset, entry.shape)
