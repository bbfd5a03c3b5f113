"""The header of a safetensors file, checked against the file before any weight is read."""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import regular_size

# The format's own limit; a larger number means that the file is something else.
_MAX_HEADER = 100_000_000
# JSON knows numbers of thousands of digits, and lists of millions of them: their product would take hours.
_MAX_NUMBER = 1 << 63
_MAX_DIMENSIONS = 16
_ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8},
}


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor stands."""

    file: Path
    dtype: str  # the format's name: BF16, F16, F32, ...
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    size: int  # bytes


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Stored name -> where it stands.

    Raises CheckpointError if the file is not safetensors, is shorter or longer than its header says,
    or has tensors that overlap, leave gaps or disagree with their shapes.
    """
    size = regular_size(path, CheckpointError)
    try:
        with path.open("rb") as file:
            length = _header_length(path, file.read(8), size)
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _not_safetensors(path) from None
    if not isinstance(header, dict):
        raise _not_safetensors(path)
    header.pop("__metadata__", None)
    start = 8 + length
    tensors = {name: _stored(path, name, entry, start) for name, entry in header.items()}
    _check_extent(path, tensors, start, size)
    return tensors


def _header_length(path: Path, prefix: bytes, size: int) -> int:
    if len(prefix) < 8:
        raise CheckpointError(f"{path} has only {size} bytes; it is cut short. Copy or download it again.")
    length = int(struct.unpack("<Q", prefix)[0])
    if prefix.startswith(b"version "):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` in its folder or download"
            " the file itself."
        )
    if length > _MAX_HEADER or length < 2:
        raise _not_safetensors(path)
    if 8 + length > size:
        raise CheckpointError(
            f"{path} has {size} bytes, but its header alone takes {8 + length}; it is cut short."
            " Copy or download it again."
        )
    return length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("duplicate key")
    return values


def _stored(path: Path, name: str, entry: Any, start: int) -> StoredTensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _not_safetensors(path) from None
    numbers = [begin, end, *shape] if isinstance(shape, list) else [None]
    if len(numbers) > 2 + _MAX_DIMENSIONS or type(dtype) is not str:
        raise _not_safetensors(path)
    if any(type(number) is not int or not 0 <= number < _MAX_NUMBER for number in numbers):
        raise _not_safetensors(path)
    if dtype in _ITEM_BYTES and end - begin != prod(shape) * _ITEM_BYTES[dtype]:
        raise CheckpointError(
            f"{path}: the tensor {name} of shape {shape} and type {dtype} needs"
            f" {prod(shape) * _ITEM_BYTES[dtype]} bytes, but the header gives it {end - begin}."
            " Copy or download the file again."
        )
    return StoredTensor(path, dtype, tuple(shape), start + begin, end - begin)


def _check_extent(path: Path, tensors: dict[str, StoredTensor], start: int, size: int) -> None:
    position = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)):
        if tensor.offset != position or tensor.size < 0:
            raise CheckpointError(
                f"{path}: the tensor {name} starts at byte {tensor.offset} instead of {position}, so tensors"
                " overlap or leave a gap. Copy or download the file again."
            )
        position += tensor.size
    if position != size:
        state = "cut short" if size < position else "longer than its header says"
        raise CheckpointError(
            f"{path} has {size} bytes where its header asks for {position}: it is {state}."
            " Copy or download it again."
        )


def _not_safetensors(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is not a safetensors file or is damaged. Copy or download it again.")
