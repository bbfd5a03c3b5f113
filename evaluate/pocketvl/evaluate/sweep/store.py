"""Where a sweep keeps what it has done: one file a task, called by the hash of everything it depends on.

FOLDER/cache/bundles/KEY      exported bundles
FOLDER/cache/outputs/         the reference's answers with their logits
FOLDER/cache/KIND/KEY.json    one finished task's result
FOLDER/cache/partial/KEY      what a task that was interrupted had written; it goes on from there
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pocketvl.runtime.bundle.strict import to_json
from pocketvl.runtime.errors import PocketVLError

_KEY_DIGITS = 20


def content_key(**parts: object) -> str:
    """A name that changes with any of the parts: JSON values, tuples or dataclasses of them."""
    text = json.dumps(to_json(parts), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]


class Store:
    """The cache folder of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cache = folder / "cache"

    def bundle(self, key: str) -> Path:
        return self._cache / "bundles" / key

    def partial(self, key: str) -> Path:
        return self._cache / "partial" / key

    def outputs(self) -> Path:
        """Where the reference's outputs stand, a file a question."""
        return self._cache / "outputs"

    def read(self, kind: str, key: str) -> Any | None:
        """A finished task's result, or None: it was not run, or its file was damaged."""
        try:
            return json.loads(self._path(kind, key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, kind: str, key: str, value: object) -> None:
        """Keep a result; what the task had written on the way is removed."""
        write_atomically(self._path(kind, key), json.dumps(to_json(value), ensure_ascii=False).encode())
        self.partial(key).unlink(missing_ok=True)

    def _path(self, kind: str, key: str) -> Path:
        return self._cache / kind / f"{key}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the lock ends with the process, however it ends.

        Raises PocketVLError if another sweep works there, or if it cannot be written.
        """
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._cache, os.O_RDONLY)
        except OSError as error:
            raise unwritable(self.folder, error) from None
        try:
            _lock(descriptor, self.folder)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PocketVLError(
            f"Another sweep is working in {folder}; wait for it or choose another --output."
        ) from None
    except OSError:
        return  # a file system without locks


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or none. Raises PocketVLError if it cannot be written.

    One process at a time writes to a sweep's folder; what it leaves when it is killed has a name that the
    next one writes to again.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> PocketVLError:
    return PocketVLError(
        f"{path} cannot be written ({error.strerror or error}); free some space there or choose another"
        " --output."
    )
