"""Named tensors and a few texts in one file that is whole or refused.

The layout is that of safetensors (https://github.com/huggingface/safetensors, "Format"), whose tools read it:

    bytes 0..7     N, the size of the header, as an unsigned 64-bit little-endian integer
    bytes 8..N+7   the header, JSON in UTF-8, filled up with spaces so that 8 + N is a multiple of 8:
                   {"__metadata__": {name: text, ...},
                    name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
    then           the data: of each tensor its elements in row-major order, little-endian, at data_offsets
                   (begin, end) counted from byte N+8; tensors follow each other without gaps, in the order of
                   the header, and the last one ends with the file

dtype is one of F16, F32, I64 and U8. The last tensor is "sha256", U8 [32]: the hash over all bytes of the
file before it. So a file that is torn or damaged anywhere is refused before anything in it is believed.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.files import read_bytes, shortened

MOST_HEADER = 16 << 20  # bytes

_DIGEST = "sha256"
_DIGEST_BYTES = 32
_METADATA = "__metadata__"
_DTYPES = {"F16": "<f2", "F32": "<f4", "I64": "<i8", "U8": "|u1"}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_MOST_AXES = 8


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], texts: Mapping[str, str]) -> None:
    """Replace the file `path` by these, or leave it as it was: they are written beside it, flushed to the
    disk and renamed. Raises OSError; KeyError for another element type."""
    digest = hashlib.sha256()
    header: dict[str, Any] = {_METADATA: dict(texts)}
    end = 0
    sizes = {name: tensor.nbytes for name, tensor in tensors.items()} | {_DIGEST: _DIGEST_BYTES}
    for name, size in sizes.items():
        dtype, shape = "U8", [_DIGEST_BYTES]
        if name != _DIGEST:
            dtype, shape = _NAMES[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".partial")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 (an open descriptor)
            for piece in (len(encoded).to_bytes(8, "little"), encoded, *map(_bytes, tensors.values())):
                digest.update(piece)
                file.write(piece)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(partial).unlink()
        raise
    _sync_folder(path.parent)


def read_tensors(
    path: Path, most_data: int, kind: type[PocketVLError]
) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """The texts and the tensors, which are views of the file's bytes and not to be written to.

    most_data: bytes of all tensors; nothing larger is read into memory. Raises `kind` for a file that is not
    whole.
    """
    content = read_bytes(path, kind, 8 + MOST_HEADER + most_data + _DIGEST_BYTES)
    whole = memoryview(content)
    if len(content) < 8 + _DIGEST_BYTES or hashlib.sha256(whole[:-_DIGEST_BYTES]).digest() != bytes(
        whole[-_DIGEST_BYTES:]
    ):
        raise kind(f"{shortened(path)} is damaged or no saved conversation; save it again.")
    try:
        return _parse(whole)
    except (ValueError, RecursionError) as error:  # written so: nothing was damaged on the way
        raise kind(f"{shortened(path)} is not laid out as a saved conversation is ({error}).") from None


def _parse(whole: memoryview) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Raises ValueError, RecursionError."""
    size = int.from_bytes(whole[:8], "little")
    if size > min(MOST_HEADER, len(whole) - 8):
        raise ValueError("its header ends outside of the file")
    header = json.loads(bytes(whole[8 : 8 + size]).decode(), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    texts = header.pop(_METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its metadata are not texts")
    data = whole[8 + size :]
    tensors: dict[str, NDArray[Any]] = {}
    end = 0
    for name, entry in header.items():
        dtype, shape, begin, following = _entry(entry)
        if begin != end or following - begin != math.prod(shape) * dtype.itemsize or following > len(data):
            raise ValueError(f"the tensor {shortened(name)} has other bytes than its shape")
        tensors[name] = np.frombuffer(data[begin:following], dtype).reshape(shape)
        end = following
    if end != len(data) or next(reversed(tensors), None) != _DIGEST or len(tensors[_DIGEST]) != _DIGEST_BYTES:
        raise ValueError("it does not end with its hash")
    del tensors[_DIGEST]
    return texts, tensors


def _entry(entry: Any) -> tuple[np.dtype[Any], list[int], int, int]:
    """dtype, shape, begin and end of a tensor."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError("a tensor has an unknown dtype")
    if not _counts(shape) or len(shape) > _MOST_AXES or not _counts(offsets) or len(offsets) != 2:
        raise ValueError("a tensor's shape or offsets are not whole numbers")
    return np.dtype(_DTYPES[dtype]), shape, offsets[0], offsets[1]


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 48 for one in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is there twice")
    return result


def _bytes(tensor: NDArray[Any]) -> bytes:
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()


def _sync_folder(folder: Path) -> None:
    """So that the new name is on the disk, too, where folders can be synced (not on Windows)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
