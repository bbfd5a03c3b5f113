"""What a bundle's files were when their hashes were last compared, remembered in the user's cache folder.

A file of a bundle for each bundle folder, replaced as a whole: of two processes that write at once the later
one wins, and what it writes is complete. A cache that cannot be read or written only costs the hashing again.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pocketvl.runtime.bundle.file import read_json
from pocketvl.runtime.errors import BundleError

_MOST_BUNDLES = 256  # files in the cache; the least recently written ones go
# A file system may give the same time to all writes within so many nanoseconds (FAT: 2 s), so a file changed
# as recently as that could change once more and look the same.
_RECENT = 2 * 10**9


class Stamp(NamedTuple):
    """A file, and the hash that it was found to have. ctime_ns changes with every write and cannot be set."""

    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int
    sha256: str


Stamps = Mapping[str, Stamp]  # by path inside the bundle


def stamp_of(status: os.stat_result, digest: str) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest)


def settled_stamp(status: os.stat_result, digest: str) -> Stamp | None:
    """None for a file whose next write could have the same time."""
    return stamp_of(status, digest) if abs(time.time_ns() - status.st_ctime_ns) > _RECENT else None


def read_stamps(bundle: Path) -> Stamps:
    """Those of the bundle in that folder; none where they cannot be read."""
    place = _place(bundle)
    if place is None:
        return {}
    try:
        value = read_json(place.parent, place.name)
        return {path: Stamp(*fields) for path, fields in value.items()}
    except (BundleError, TypeError, AttributeError):
        return {}


def write_stamps(bundle: Path, stamps: Stamps) -> None:
    """Remember them instead of those before, if the cache can be written."""
    place = _place(bundle)
    if place is None:
        return
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f"{place.stem}.", suffix=".partial")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 (an open descriptor)
                json.dump(stamps, file)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _prune(place.parent)


def _prune(folder: Path) -> None:
    """Also of what a killed process left."""
    written = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may remove them, too
            written.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(written, reverse=True)[_MOST_BUNDLES:]:
        with suppress(OSError):
            path.unlink()


def _place(bundle: Path) -> Path | None:
    """The file for a bundle; None for a user without a cache folder."""
    name = sha256(os.fsencode(os.path.realpath(bundle))).hexdigest()[:32]
    try:
        return _cache_folder() / "pocketvl" / "verified" / f"{name}.json"
    except RuntimeError:  # no home
        return None


def _cache_folder() -> Path:
    """https://specifications.freedesktop.org/basedir-spec says that a relative path must be ignored."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local)
    return Path.home() / ".cache"
