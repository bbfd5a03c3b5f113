"""One file of a bundle: whether it may be opened, and the JSON in it."""

import json
import os
from pathlib import Path
from typing import Any

from pocketvl.runtime.errors import BundleError

_MOST_JSON = 16 << 20  # bytes; a manifest of the 7B model has less than a hundredth of them


def file_size(folder: Path, file: str, kind: type[BundleError] = BundleError) -> int:
    """Bytes of the regular file `file`, a path inside the bundle. Raises `kind` for anything else there."""
    path = folder / file
    try:
        # Not Path.resolve, which ends in a RuntimeError where links run in a circle.
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise kind(f"{path} is a link that leaves the bundle; put a copy of the file in its place.")
        if not path.is_file():
            odd = os.path.lexists(path) and not path.is_dir() and not path.is_symlink()
            what = "is no regular file" if odd else "is missing"
            raise kind(f"{path} {what}; copy the whole bundle again or export it again.")
        return path.stat().st_size
    except OSError as error:
        raise kind(f"{path} cannot be read ({error.strerror}); copy the bundle again.") from None


def read_json(folder: Path, file: str, kind: type[BundleError] = BundleError) -> Any:
    """What is in the JSON file `file`, a path inside the bundle. Raises `kind` where that cannot be known."""
    path = folder / file
    size = file_size(folder, file, kind)
    if size > _MOST_JSON:
        raise kind(f"{path} has {size} bytes, more than any that pocketvl writes; export the bundle again.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_doubles)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # halves of characters could not be printed
        return value
    except OSError as error:
        raise kind(f"{path} cannot be read ({error.strerror}); copy the bundle again.") from None
    except UnicodeDecodeError as error:
        raise kind(f"{path} cannot be read: {error}; export the bundle again.") from None
    except RecursionError:
        raise kind(f"{path} is not valid JSON: it is nested too deeply; export the bundle again.") from None
    except ValueError as error:  # also for an integer of thousands of digits
        raise kind(f"{path} is not valid JSON ({error}); export the bundle again.") from None


def _without_doubles(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice another reader may take the other value."""
    value: dict[str, Any] = {}
    for key, item in members:
        if key in value:
            raise ValueError(f"the key {key!r} is there twice")
        value[key] = item
    return value
