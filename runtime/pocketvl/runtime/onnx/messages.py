"""The messages of a .onnx file, read as protobuf reads them or refused: a field that the two could take
differently would hide from our checks what onnxruntime opens.

Protobuf passes over a field of a wrong wire type and over an unknown enum value, cuts integers to their type,
and merges a message that is given twice. Field numbers and types: onnx/onnx.proto of
https://github.com/onnx/onnx.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pocketvl.runtime.onnx.wire import BYTES, VARINT, fields, varints

INT64, INT32, DATA_LOCATION, TEXT = "int64", "int32", "data_location", "text"
_RANGES = {INT64: (-(1 << 63), (1 << 63) - 1), INT32: (-(1 << 31), (1 << 31) - 1), DATA_LOCATION: (0, 1)}


class Member(NamedTuple):
    name: str
    type: str  # one of those above, or a message
    many: bool = False


# What is read of each message: all ways from a model down to its tensors, and what is asked about them.
_MESSAGES = {
    "model": {
        1: Member("ir_version", INT64),
        7: Member("graph", "graph"),
        8: Member("opset_import", "opset", many=True),
        20: Member("training_info", "training", many=True),
        25: Member("functions", "function", many=True),
    },
    "opset": {1: Member("domain", TEXT), 2: Member("version", INT64)},
    "training": {1: Member("initialization", "graph"), 2: Member("algorithm", "graph")},
    "graph": {
        1: Member("node", "node", many=True),
        5: Member("initializer", "tensor", many=True),
        15: Member("sparse_initializer", "sparse_tensor", many=True),
    },
    "function": {
        7: Member("node", "node", many=True),
        11: Member("attribute_proto", "attribute", many=True),
    },
    "node": {5: Member("attribute", "attribute", many=True)},
    "attribute": {
        1: Member("name", TEXT),
        3: Member("i", INT64),
        5: Member("t", "tensor"),
        6: Member("g", "graph"),
        8: Member("ints", INT64, many=True),
        10: Member("tensors", "tensor", many=True),
        11: Member("graphs", "graph", many=True),
        22: Member("sparse_tensor", "sparse_tensor"),
        23: Member("sparse_tensors", "sparse_tensor", many=True),
    },
    "sparse_tensor": {1: Member("values", "tensor"), 2: Member("indices", "tensor")},
    "tensor": {
        1: Member("dims", INT64, many=True),
        2: Member("data_type", INT32),
        8: Member("name", TEXT),
        13: Member("external_data", "entry", many=True),
        14: Member("data_location", DATA_LOCATION),
    },
    "entry": {1: Member("key", TEXT), 2: Member("value", TEXT)},
}

Value = int | str | memoryview


def members(message: str, content: memoryview) -> Iterator[tuple[Member, Value]]:
    """What _MESSAGES knows of a message, in the order of the bytes; messages inside it as their bytes.

    Raises ValueError, with what is wrong, where protobuf could read something else.
    """
    seen = set()
    for number, wire_type, value in fields(content):
        member = _MESSAGES[message].get(number)
        if member is None:
            continue
        if number in seen and not member.many:
            raise ValueError(f"{message}.{member.name} is given twice")
        seen.add(number)
        try:
            for item in _values(member, wire_type, value):
                yield member, item
        except _MisreadError as error:
            raise ValueError(f"{message}.{member.name} {error}") from None


class _MisreadError(Exception):
    """What is wrong with one member."""


def _values(member: Member, wire_type: int, value: int | memoryview) -> Iterator[Value]:
    """One value, or all those of a packed list."""
    integer = member.type in _RANGES
    if isinstance(value, memoryview) and integer and member.many:
        yield from (_integer(member.type, item) for item in varints(value))
    elif wire_type != (VARINT if integer else BYTES):
        raise _MisreadError(f"has the wire type {wire_type}, which is not its own")
    elif isinstance(value, int):
        yield _integer(member.type, value)
    else:
        yield _text(value) if member.type == TEXT else value


def _integer(kind: str, value: int) -> int:
    signed = value - (1 << 64) if value >> 63 else value
    low, high = _RANGES[kind]
    if not low <= signed <= high:
        raise _MisreadError(f"is {signed}, outside of {low}..{high}")
    return signed


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise _MisreadError("is not UTF-8") from None
