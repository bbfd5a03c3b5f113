"""What was read, as one hash."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import regular_size

_CHUNK = 1 << 20


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over names, sizes and contents, in the order of the names. Raises CheckpointError."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        try:
            _update(digest, path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", path: Path) -> None:
    digest.update(f"{path.name}\0{regular_size(path, CheckpointError)}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
