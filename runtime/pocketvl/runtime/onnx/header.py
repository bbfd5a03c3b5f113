"""What a .onnx file says about itself: its versions, and which bytes of which files its tensors are.

Field numbers and element types: onnx/onnx.proto of https://github.com/onnx/onnx.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.wire import fields, varints

# message -> field -> message in it: the ways from a model down to each of its tensors.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
_DEEPEST = 64  # messages in one another; protobuf itself refuses 100
_EXTERNAL = 1  # TensorProto.DataLocation
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
        model = memoryview(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); copy the bundle again.") from None
    try:
        return _header(model)
    except ValueError as error:
        raise BundleError(
            f"{path} is not a sound ONNX model ({error}); copy the bundle again or export it again."
        ) from None


def _header(model: memoryview) -> ModelHeader:
    ir_version, opsets, graphs = 0, [], 0
    for number, value in fields(model):
        if number == 1 and isinstance(value, int):
            ir_version = value
        elif number == 8:
            opsets.append(_opset(_message(number, value)))
        graphs += number == 7
    if ir_version < 1 or not opsets or min(version for _, version in opsets) < 1:
        raise ValueError("it names no version of ONNX")
    if graphs != 1:
        raise ValueError(f"it has {graphs} graphs")
    external = (_external(tensor) for tensor in _tensors("model", model, 0))
    return ModelHeader(ir_version, tuple(opsets), tuple(found for found in external if found is not None))


def _opset(message: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in fields(message):
        if number == 1:
            domain = _text(_message(number, value))
        elif number == 2 and isinstance(value, int):
            version = value
    return ("" if domain == "ai.onnx" else domain), version


def _tensors(kind: str, message: memoryview, depth: int) -> Iterator[memoryview]:
    """Every tensor anywhere inside, those of subgraphs and attributes included."""
    if kind == "tensor":
        yield message
        return
    if depth > _DEEPEST:
        raise ValueError(f"its messages lie more than {_DEEPEST} deep in one another")
    inside = _INSIDE[kind]
    for number, value in fields(message):
        if number in inside:
            yield from _tensors(inside[number], _message(number, value), depth + 1)


def _external(tensor: memoryview) -> ExternalData | None:
    """None for a tensor that stands in the .onnx file itself."""
    dims: list[int] = []
    place: dict[str, str] = {}
    name, dtype, where = "", 0, 0
    for number, value in fields(tensor):
        if number == 1:
            dims += [value] if isinstance(value, int) else varints(value)
        elif number == 2 and isinstance(value, int):
            dtype = value
        elif number == 8:
            name = _text(_message(number, value))
        elif number == 13:
            place |= _pair(_message(number, value))
        elif number == 14 and isinstance(value, int):
            where = value
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


def _pair(message: memoryview) -> dict[str, str]:
    key = value = ""
    for number, part in fields(message):
        if number == 1:
            key = _text(_message(number, part))
        elif number == 2:
            value = _text(_message(number, part))
    return {key: value}


def _number(place: dict[str, str], key: str, default: int, tensor: str) -> int:
    text = place.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"the tensor {tensor!r} has the {key} {text!r}")
    return int(text)


def _message(number: int, value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError(f"field {number} is a number where a message is due")
    return value


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", errors="replace")
