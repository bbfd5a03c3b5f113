"""Files that a user names: whether they are regular and small enough is known before any of them is read."""

import stat
from collections.abc import Iterator
from pathlib import Path

from pocketvl.runtime.errors import PocketVLError

MOST_LINE = 128 << 20  # bytes of a row of a dataset, whose images may be in it
MOST_TEXT = 256 << 20  # bytes of a script, recipe or configuration; images in base64 may be in it
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular_size(path: Path, kind: type[PocketVLError], most: int | None = None) -> int:
    """Bytes of the regular file `path`, at most `most`. Raises `kind` for anything else there.

    Pipes and devices are refused because they may never end, or never begin.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise kind(f"{shortened(path)} does not exist; check the path.") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, kind) from None
    if stat.S_ISDIR(found.st_mode):
        raise kind(f"{path} is a folder; give the path of one file.")
    if not stat.S_ISREG(found.st_mode):
        what = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise kind(f"{path} is {what}, not a regular file; copy what it gives into a file and name that.")
    if most is not None and found.st_size > most:
        raise kind(f"{path} has {found.st_size} bytes, more than the limit of {most}; give a smaller file.")
    return found.st_size


def read_bytes(path: Path, kind: type[PocketVLError], most: int) -> bytes:
    """All of the regular file `path`. Raises `kind`."""
    size = regular_size(path, kind, most)
    try:
        with path.open("rb") as file:
            return file.read(size)  # no more, even if it has grown since
    except OSError as error:
        raise _unreadable(path, error, kind) from None


def read_text(path: Path, kind: type[PocketVLError], most: int = MOST_TEXT) -> str:
    """All of the regular UTF-8 file `path`. Raises `kind`."""
    try:
        return read_bytes(path, kind, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise kind(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert the file.") from None


def read_lines(path: Path, kind: type[PocketVLError], longest: int = MOST_LINE) -> Iterator[bytes]:
    """The lines of a regular file of any size, their ends included. Raises `kind` for one above `longest`."""
    regular_size(path, kind)
    try:
        with path.open("rb", buffering=1 << 20) as file:  # lines with images are long
            number = 0
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise kind(
                        f"{path}, line {number} has more bytes than the limit of {longest} a line; is this"
                        " the right file?"
                    )
                yield line
    except OSError as error:
        raise _unreadable(path, error, kind) from None


def shortened(name: object) -> str:
    """At most 120 characters of a path or an address, for messages."""
    text = str(name)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _unreadable(path: Path, error: OSError | ValueError, kind: type[PocketVLError]) -> PocketVLError:
    reason = getattr(error, "strerror", None) or error
    return kind(f"{shortened(path)} cannot be read ({reason}); check the path.")
