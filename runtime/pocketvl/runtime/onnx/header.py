"""What a .onnx file says about itself: its versions, and which bytes of which files its tensors are.

Element types: onnx/onnx.proto of https://github.com/onnx/onnx.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.attributes import check_attribute
from pocketvl.runtime.onnx.messages import members

_DEEPEST = 64  # messages in one another; protobuf itself refuses 100
_MOST_DIMS = 8  # of a tensor; our graphs have 4
_MOST_OPSETS = 64  # each is tried with onnxruntime
_EXTERNAL = 1  # TensorProto.DataLocation
_PLACE = ("location", "offset", "length", "checksum")  # keys of external data
_BITS = {
    **dict.fromkeys(
        (2, 3, 9, 17, 18, 19, 20, 24), 8
    ),  # uint8, int8, bool, float8 of four kinds, its exponents
    **dict.fromkeys((4, 5, 10, 16), 16),  # uint16, int16, float16, bfloat16
    **dict.fromkeys((1, 6, 12), 32),  # float32, int32, uint32
    **dict.fromkeys((7, 11, 13, 14), 64),  # int64, float64, uint64, complex64
    15: 128,  # complex128
    **dict.fromkeys((21, 22, 23), 4),  # uint4, int4, float4
    **dict.fromkeys((25, 26), 2),  # uint2, int2
}


@dataclass(frozen=True)
class ExternalData:
    """A tensor whose bytes stand in another file."""

    tensor: str
    location: str  # path from the .onnx file's folder
    offset: int  # bytes
    length: int  # bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class ModelHeader:
    ir_version: int
    opsets: tuple[tuple[str, int], ...]  # domain, version; the domain of ONNX itself is ""
    external: tuple[ExternalData, ...]


def read_header(path: Path) -> ModelHeader:
    """Read the whole file, weights inside it excepted. Raises BundleError if it is missing or no model."""
    try:
        with path.open("rb") as file:
            model = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return _header(model)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); copy the bundle again.") from None
    except ValueError as error:  # also for an empty file, which cannot be mapped
        raise BundleError(
            f"{path} is not a sound ONNX model ({error}); copy the bundle again or export it again."
        ) from None


def _header(model: memoryview) -> ModelHeader:
    ir_version, opsets, has_graph = 0, [], False
    for member, value in members("model", model):
        match member.name, value:
            case "ir_version", int(number):
                ir_version = number
            case "opset_import", memoryview() as opset:
                opsets.append(_opset(opset))
            case "graph", _:
                has_graph = True
    if ir_version < 1 or not opsets or min(version for _, version in opsets) < 1:
        raise ValueError("it names no version of ONNX")
    if len(opsets) > _MOST_OPSETS:
        raise ValueError(f"it names {len(opsets)} opsets, more than {_MOST_OPSETS}")
    if not has_graph:
        raise ValueError("it has no graph")
    external = (_external(tensor) for tensor in _tensors("model", model, 0))
    return ModelHeader(ir_version, tuple(opsets), tuple(found for found in external if found is not None))


def _opset(content: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for _, value in members("opset", content):
        if isinstance(value, str):
            domain = value
        elif isinstance(value, int):
            version = value
    return ("" if domain == "ai.onnx" else domain), version


def _tensors(message: str, content: memoryview, depth: int) -> Iterator[memoryview]:
    """Every tensor anywhere inside, those of subgraphs and attributes included."""
    if message == "tensor":
        yield content
        return
    if depth > _DEEPEST:
        raise ValueError(f"its messages lie more than {_DEEPEST} deep in one another")
    if message == "attribute":
        check_attribute(content)
    for member, value in members(message, content):
        if isinstance(value, memoryview):
            yield from _tensors(member.type, value, depth + 1)


def _external(tensor: memoryview) -> ExternalData | None:
    """None for a tensor that stands in the .onnx file itself."""
    dims: list[int] = []
    place: dict[str, str] = {}
    name, dtype, where = "", 0, 0
    for member, value in members("tensor", tensor):
        match member.name, value:
            case "dims", int(size):
                _add_size(dims, size)
            case "data_type", int(number):
                dtype = number
            case "name", str(text):
                name = text
            case "external_data", memoryview() as entry:
                _add_entry(place, entry)
            case "data_location", int(number):
                where = number
    if where != _EXTERNAL:
        return None
    if dtype not in _BITS:
        raise ValueError(
            f"the tensor {name!r} has the element type {dtype}, which cannot stand in a data file"
        )
    size = -(-math.prod(dims) * _BITS[dtype] // 8)
    length = _number(place, "length", size, name)
    if length != size:
        raise ValueError(f"the tensor {name!r} takes {size} bytes, but {length} are said to hold it")
    return ExternalData(name, place.get("location", ""), _number(place, "offset", 0, name), length)


def _add_size(dims: list[int], size: int) -> None:
    # More sizes would multiply to a number whose very computation takes minutes.
    if size < 0 or len(dims) == _MOST_DIMS:
        raise ValueError(f"a tensor has a size below 0 or more than {_MOST_DIMS} dimensions")
    dims.append(size)


def _add_entry(place: dict[str, str], content: memoryview) -> None:
    key = text = ""
    for member, value in members("entry", content):
        match member.name, value:
            case "key", str(given):
                key = given
            case "value", str(given):
                text = given
    # onnxruntime takes more from some other keys, such as prepacked weights.
    if key not in _PLACE or key in place:
        raise ValueError(f"external data have the key {key!r}, which is unknown or given twice")
    place[key] = text


def _number(place: dict[str, str], key: str, default: int, tensor: str) -> int:
    text = place.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"the tensor {tensor!r} has the {key} {text!r}")
    return int(text)
