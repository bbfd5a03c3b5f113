"""JSON files that a user names."""

import json
from pathlib import Path
from typing import Any

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.files import read_bytes


def read_json(path: Path, most: int) -> Any:
    """What a regular file of at most `most` bytes holds. Raises UsageError."""
    data = read_bytes(path, UsageError, most)
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    except RecursionError:
        raise UsageError(f"{path} is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:  # also of the decoding, and for an integer of thousands of digits
        raise UsageError(f"{path} is not valid JSON: {error}.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key given twice would otherwise be ignored once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found
