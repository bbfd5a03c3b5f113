"""A JSON object of a checkpoint, read with checks that name the file and the key."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import read_text

# Beyond any size or id; JSON knows numbers of thousands of digits.
_LARGEST = 1 << 40


@dataclass(frozen=True)
class JsonObject:
    """Values of one object; `where` is the file, and inside it the path, for messages.

    A key that is absent or null counts as missing: the default is returned, or, without one,
    CheckpointError raised. A value of another type always raises CheckpointError.
    """

    values: Mapping[str, Any]
    where: str

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._value(key, default)
        if type(value) is not int or abs(value) > _LARGEST:
            raise self._wrong(key, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._value(key, default)
        if not _is_finite(value):
            raise self._wrong(key, "a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if type(value) is not bool:
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if type(value) is not str:
            raise self._wrong(key, "a string")
        return value

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers; a single one counts as a list of one."""
        value = self._value(key, default)
        items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not items or any(type(item) is not int or abs(item) > _LARGEST for item in items):
            raise self._wrong(key, "a whole number or a list of them")
        return items

    def triple(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        value = self._value(key, default)
        if not isinstance(value, (list, tuple)) or len(value) != 3 or not all(map(_is_finite, value)):
            raise self._wrong(key, "a list of three numbers")
        red, green, blue = (float(item) for item in value)
        return red, green, blue

    def child(self, key: str) -> "JsonObject":
        """The object under that key; an empty one if it is missing."""
        value = self._value(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return JsonObject(value, f"{self.where}, {key}")

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is None:
            raise CheckpointError(
                f"{self.where} lacks the key {key!r}; is it complete and of the right model?"
            )
        return default

    def _wrong(self, key: str, wanted: str) -> CheckpointError:
        shown = json.dumps(self.values[key])
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        return CheckpointError(f"{self.where}: {key!r} must be {wanted}, not {shown}.")


def read_object(path: Path) -> JsonObject:
    """The JSON object that the file holds. Raises CheckpointError."""
    try:
        value = json.loads(read_text(path, CheckpointError))
    except (ValueError, RecursionError) as error:  # bad JSON, absurd numbers
        raise CheckpointError(f"{path} is not valid JSON ({error}); copy or download it again.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object; copy or download it again.")
    return JsonObject(value, str(path))


def read_optional(path: Path) -> JsonObject:
    """Like read_object, but an absent file counts as an empty object."""
    return read_object(path) if path.exists() else JsonObject({}, str(path))


def _is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold; JSON knows larger ones."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False
