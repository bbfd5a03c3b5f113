"""The reader of .onnx messages and protobuf's own see the same tensors in other files, or ours refuses."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.header import read_header
from pocketvl.runtime.onnx.wire import FIXED32, FIXED64, field
from tests.runtime.onnx.models import nested

Place = Callable[..., bytes]
SETTINGS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)


def fixed(number: int, value: int, wire_type: int) -> bytes:
    return bytes([number << 3 | wire_type]) + value.to_bytes(4 if wire_type == FIXED32 else 8, "little")


def entry(key: str, value: str) -> bytes:
    return field(13, field(1, key.encode()) + field(2, value.encode()))


def location(value: int) -> bytes:
    return field(14, value)


TENSOR = field(1, 4) + field(2, 1) + field(8, b"w")
SECRET = entry("location", "../secret")
EXTERNAL = TENSOR + SECRET + location(1)


def initializer(*parts: bytes) -> bytes:
    return field(7, b"".join(field(5, part) for part in parts))


def attribute(*parts: bytes) -> bytes:
    """In a node, as parts of one tensor: protobuf merges them."""
    return field(7, field(1, field(5, field(1, b"value") + b"".join(field(5, part) for part in parts))))


def sparse(*parts: bytes) -> bytes:
    return field(7, field(15, b"".join(field(1, part) for part in parts)))


def training(*parts: bytes) -> bytes:
    return field(7, b"") + field(20, field(1, b"".join(field(5, part) for part in parts)))


def graphs(*parts: bytes) -> bytes:
    return b"".join(initializer(part) for part in parts)


def model(graph: bytes) -> bytes:
    return field(1, 10) + graph + field(8, field(2, 21))


def tensors(message: Message) -> Iterator[TensorProto]:
    if isinstance(message, TensorProto):
        yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in value if descriptor.is_repeated else [value]:
                yield from tensors(inner)


def seen_by_protobuf(content: bytes) -> Counter[tuple[str, str]] | None:
    """How often a tensor of that name stands in that file; None if this is no model."""
    try:
        parsed = ModelProto.FromString(content)
    except DecodeError:
        return None
    return Counter(
        (tensor.name, {pair.key: pair.value for pair in tensor.external_data}.get("location", ""))
        for tensor in tensors(parsed)
        if tensor.data_location == TensorProto.EXTERNAL
    )


def seen_by_us(content: bytes, folder: Path) -> Counter[tuple[str, str]] | None:
    """None if it is refused."""
    path = folder / "m.onnx"
    path.write_bytes(content)
    try:
        return Counter((found.tensor, found.location) for found in read_header(path).external)
    except BundleError:
        return None


def assert_nothing_hidden(content: bytes, folder: Path) -> None:
    ours = seen_by_us(content, folder)
    if ours is None:
        return
    theirs = seen_by_protobuf(content)
    assert theirs is None or ours == theirs


ODD = {
    "location over 32 bits": initializer(TENSOR + SECRET + location((1 << 32) + 1)),
    "unknown location": initializer(EXTERNAL + location(7)),
    "fixed32 location": initializer(EXTERNAL + fixed(14, 0, FIXED32)),
    "fixed64 location": initializer(EXTERNAL + fixed(14, 0, FIXED64)),
    "two locations": initializer(EXTERNAL + location(0)),
    "location as bytes": initializer(EXTERNAL + field(14, b"\0")),
    "type over 32 bits": initializer(TENSOR[:2] + field(2, (1 << 32) + 1) + SECRET + location(1)),
    "two names": initializer(EXTERNAL + field(8, b"again")),
    "fixed32 name": initializer(TENSOR[:4] + fixed(8, 0, FIXED32) + SECRET + location(1)),
    "no UTF-8": initializer(TENSOR + location(1) + field(13, field(1, b"location") + field(2, b"\xff"))),
    "two tensors": attribute(TENSOR + entry("location", "ok") + location(1), SECRET),
    "two values": sparse(TENSOR + entry("location", "ok") + location(1), SECRET),
    "two graphs": graphs(EXTERNAL, TENSOR),
}


@pytest.mark.parametrize("name", ODD)
def test_what_protobuf_takes_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    assert seen_by_us(model(ODD[name]), tmp_path) is None


@pytest.mark.parametrize("place", [initializer, attribute, sparse, training])
def test_a_place_is_seen_everywhere(tmp_path: Path, place: Place) -> None:
    content = model(place(EXTERNAL))
    assert seen_by_us(content, tmp_path) == seen_by_protobuf(content) == Counter({("w", "../secret"): 1})


PIECES = [
    field(1, b"\x01"),
    field(2, 1),
    field(2, (1 << 32) + 1),
    field(8, b"v"),
    field(9, bytes(16)),
    field(99, b"unknown"),
    SECRET,
    entry("location", "ok"),
    entry("offset", "0"),
    field(13, field(1, b"location") + field(2, b"\xff")),
    field(13, field(1, b"location") + fixed(2, 0, FIXED32)),
    *(location(value) for value in (0, 1, 1, 2, 7, 1 << 32, (1 << 32) + 1, (1 << 64) - 1)),
    *(fixed(14, value, wire_type) for value in (0, 1) for wire_type in (FIXED32, FIXED64)),
    field(14, b"\x01"),
    b"\x7b\x7c",  # an empty group
]


@SETTINGS
@given(
    parts=st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map(b"".join), min_size=1, max_size=2),
    place=st.sampled_from([initializer, attribute, sparse, training, graphs]),
)
def test_tensors_of_odd_pieces_hide_nothing(tmp_path: Path, parts: list[bytes], place: Place) -> None:
    first, *others = parts
    assert_nothing_hidden(model(place(TENSOR + first, *others)), tmp_path)


@SETTINGS
@given(data=st.data())
def test_damaged_models_hide_nothing(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(nested("../secret").SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert_nothing_hidden(bytes(content), tmp_path)
