"""Protobuf messages field by field, from their bytes alone: the onnx package is not needed to run a bundle.

Encoding: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator

# Number, wire type; an integer, or the bytes of a text, message or packed list.
Field = tuple[int, int, int | memoryview]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MOST_VARINT_BYTES = 10
_LAST_NUMBER = (1 << 29) - 1


def fields(message: memoryview) -> Iterator[Field]:
    """Every field in the order of the bytes; an integer as it is stored, without a sign.

    Raises ValueError, with what is wrong, where the bytes are no message.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if not 1 <= number <= _LAST_NUMBER:
            raise ValueError(f"byte {position - 1} ends the number {number}, which no field can have")
        if kind == VARINT:
            value, position = _varint(message, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, position = _varint(message, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ValueError(f"field {number} has the unknown wire type {kind}")
        if size > len(message) - position:
            raise ValueError(f"field {number} has {size} bytes, but {len(message) - position} are left")
        part = message[position : position + size]
        position += size
        yield number, kind, part if kind == BYTES else int.from_bytes(part, "little")


def varints(packed: memoryview) -> Iterator[int]:
    """The integers of a packed list. Raises ValueError as fields does."""
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield value


def field(number: int, value: int | bytes) -> bytes:
    """One field as bytes; a negative integer cannot be given."""
    if isinstance(value, int):
        return _encoded(number << 3 | VARINT) + _encoded(value)
    return _encoded(number << 3 | BYTES) + _encoded(len(value)) + value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """(value, position behind it)."""
    value = 0
    for index, byte in enumerate(message[position : position + _MOST_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                raise ValueError(f"the integer at byte {position} has more than 64 bits")
            return value, position + index + 1
    raise ValueError(f"the integer at byte {position} does not end")


def _encoded(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
