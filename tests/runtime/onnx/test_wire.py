"""The reader of protobuf messages."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.onnx.wire import FIXED32, FIXED64, field, fields, varints

numbers = st.integers(1, 2**29 - 1)
values = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(numbers, values), max_size=8))
def test_what_is_written_is_read(written: list[tuple[int, int | bytes]]) -> None:
    message = b"".join(field(number, value) for number, value in written)
    read = [
        (number, value if isinstance(value, int) else bytes(value))
        for number, _, value in fields(memoryview(message))
    ]
    assert read == written


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    for read in (fields, varints):
        with suppress(ValueError):
            list(read(memoryview(message)))


def test_fixed_sizes_are_read() -> None:
    message = bytes([1 << 3 | 5, 1, 0, 0, 0, 2 << 3 | 1, 2, 0, 0, 0, 0, 0, 0, 0])
    assert list(fields(memoryview(message))) == [(1, FIXED32, 1), (2, FIXED64, 2)]


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (b"\x0a\x05abc", "5 bytes, but 3 are left"),
        (b"\x0d\x01", "4 bytes, but 1 are left"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "the number 0, which"),
        (b"\xf8\xff\xff\xff\x1f\x01", "the number 1073741823, which"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x08" + b"\xff" * 11, "does not end"),
        (b"\x08\x80", "does not end"),
    ],
)
def test_damage_is_named(message: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        list(fields(memoryview(message)))
