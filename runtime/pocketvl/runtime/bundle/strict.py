"""JSON to frozen dataclasses and back, refusing unknown keys, missing keys and wrong types.

Only a key whose field is null by default may be missing.
"""

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

from pocketvl.runtime.errors import ManifestError

T = TypeVar("T")

_MOST_INTEGER = (1 << 63) - 1  # offsets and sizes of files are 64 bits; JSON has integers of any length


def shortened(value: object) -> str:
    """A value of a file as Python writes it, cut where it is too long for a sentence."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def to_json(value: Any) -> Any:
    """Dataclasses become objects, tuples lists; everything else stays."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(cls: type[T], value: Any, where: str) -> T:
    """Build `cls` from parsed JSON. `where` names the place in messages.

    Raises ManifestError for anything that does not fit exactly.
    """
    if not isinstance(value, dict):
        raise ManifestError(f"{where} must be an object, not {_kind(value)}.")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ManifestError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(fields)}.")
    missing = [name for name, f in fields.items() if name not in value and f.default is not None]
    if missing:
        raise ManifestError(f"{where} lacks the key {missing[0]!r}.")
    arguments = {name: _convert(hints[name], value.get(name), f"{where}.{name}") for name in fields}
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ManifestError(f"{where} is not valid: {error}.") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ManifestError(f"{where} must be an object, not {_kind(value)}.")
        return {
            key: _convert(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, where)
    if hint is float and type(value) in (int, float):
        return _finite(value, where)
    if type(value) is not hint:
        raise ManifestError(f"{where} must be {hint.__name__}, not {_kind(value)}.")
    return _bounded(value, where)


def _bounded(value: Any, where: str) -> Any:
    if isinstance(value, int) and not -_MOST_INTEGER <= value <= _MOST_INTEGER:
        raise ManifestError(f"{where} must be an integer of at most 64 bits.")
    return value


def _finite(value: float, where: str) -> float:
    """JSON has integers beyond any float, and Python reads NaN and Infinity in it."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ManifestError(f"{where} must be a finite number.")
    return number


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    plain = [option for option in options if option is not type(None)]
    for option in plain:
        if type(value) is option:
            return _bounded(value, where)
    return _convert(plain[0], value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ManifestError(f"{where} must be a list, not {_kind(value)}.")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(arguments) != len(value):
        raise ManifestError(f"{where} must have {len(arguments)} items, not {len(value)}.")
    return tuple(
        _convert(hint, item, f"{where}[{i}]")
        for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
