"""weight.bin: the large values of a Core ML program, memory-mapped.

Layout (mlmodel/src/MILBlob/Blob/StorageFormat.hpp in coremltools, version 2), little endian: a header of 64
bytes that begins with <II, number of values and version; a record of 64 bytes a value that begins with
<IIQQQ, sentinel, element type, bytes, offset of the data, bits of padding at its end.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.tensor_type import BY_BLOB_NUMBER, TensorType, from_bytes
from pocketvl.runtime.errors import BundleError

_HEADER = struct.Struct("<II")
_RECORD = struct.Struct("<IIQQQ")
_BLOCK = 64  # bytes of the header and of each record
_VERSION = 2
_SENTINEL = 0xDEADBEEF


class WeightFile:
    """Values of one weight.bin, each found by the offset of its record."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError if the file is missing or does not begin with a header of version 2."""
        self._path = path
        try:
            size = path.stat().st_size
            if size < _BLOCK:
                raise self._damaged(f"has {size} bytes, less than its header of {_BLOCK}")
            self._bytes = np.memmap(path, np.uint8, mode="r")
        except OSError as error:
            raise BundleError(
                f"The weights {path} cannot be read ({error.strerror}); copy the bundle again."
            ) from None
        _, version = _HEADER.unpack_from(self._bytes[:_BLOCK].tobytes())
        if version != _VERSION:
            raise self._damaged(f"has version {version} in its header, not {_VERSION}")

    def check(self, name: str, offset: int, kind: TensorType) -> None:
        """Refuse a value `name` whose record at byte `offset` does not hold `kind`. Raises BundleError."""
        self._start(name, offset, kind)

    def place(self, name: str, offset: int, kind: TensorType) -> int:
        """Byte of the file at which the data of a value `name` begins. Raises BundleError as check does."""
        return self._start(name, offset, kind)

    def read(self, name: str, offset: int, kind: TensorType) -> NDArray[Any]:
        """The value as numpy (see from_bytes): a view of the map where an element has whole bytes."""
        start = self._start(name, offset, kind)
        return from_bytes(self._bytes[start : start + kind.bytes], kind)

    def _start(self, name: str, offset: int, kind: TensorType) -> int:
        size = len(self._bytes)
        if offset < _BLOCK or offset + _BLOCK > size:
            raise self._damaged(f"has {size} bytes, but the record of {name!r} is said to be at {offset}")
        sentinel, number, stored, start, padding = _RECORD.unpack_from(
            self._bytes[offset : offset + _BLOCK].tobytes()
        )
        if sentinel != _SENTINEL:
            raise self._damaged(f"has no record at byte {offset}, where {name!r} is said to be")
        dtype = BY_BLOB_NUMBER.get(number)
        if dtype is None or dtype.name != kind.dtype:
            found = f"type number {number}" if dtype is None else dtype.name
            raise self._damaged(f"holds {name!r} as {found}, but the program says {kind.dtype}")
        if stored != kind.bytes or (kind.bits % 8 and padding != kind.bytes * 8 - kind.bits):
            raise self._damaged(
                f"holds {name!r} in {stored} bytes ({padding} bits unused), but {kind} takes {kind.bytes}"
            )
        if start + stored > size:
            raise self._damaged(f"has {size} bytes, but {name!r} ends at byte {start + stored}")
        return int(start)

    def _damaged(self, what: str) -> BundleError:
        return BundleError(f"{self._path} {what}; copy the bundle again or export it again.")
