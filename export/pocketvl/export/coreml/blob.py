"""Where a value stands in the weight.bin of a package.

A program names the place of a value's record, 64 bytes, of which are used: sentinel 0xDEADBEEF, type of the
elements, size in bytes, offset of the bytes themselves, bits of padding behind the last element; little
endian (coremltools/mlmodel/src/MILBlob/Blob/StorageFormat.hpp).
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from pocketvl.runtime.errors import ExportError

_RECORD = struct.Struct("<IIQQQ")
_SENTINEL = 0xDEADBEEF


@dataclass(frozen=True)
class Place:
    """Bytes of a file."""

    offset: int
    size: int


class WeightFile:
    """A weight.bin, memory-mapped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = np.memmap(path, np.uint8, "r")
        self._digests: dict[Place, str] = {}

    def place(self, record: int) -> Place:
        """The bytes that the record at that offset names. Raises ExportError where there is none."""
        if record + _RECORD.size <= len(self._bytes):
            sentinel, _, size, offset, _ = _RECORD.unpack(
                self._bytes[record : record + _RECORD.size].tobytes()
            )
            if sentinel == _SENTINEL and offset + size <= len(self._bytes):
                return Place(offset, size)
        raise ExportError(
            f"{self._path} has no value at byte {record}, which its program names; the disk may be damaged:"
            " export again."
        )

    def digest(self, place: Place) -> str:
        """sha256 of the bytes, read once."""
        if place not in self._digests:
            end = place.offset + place.size
            self._digests[place] = sha256(self._bytes[place.offset : end].data).hexdigest()
        return self._digests[place]
