"""Files that never end, never begin, or would fill the memory."""

import os
from pathlib import Path

ODD = {
    "pipe": "is a pipe, not a regular file; copy what it gives into a file",
    "device": "is a device, not a regular file",
    "sparse": "more .*than the limit of",
}


def odd_file(folder: Path, kind: str, name: str) -> Path:
    """A file of one of the kinds in ODD; a device is a link to /dev/zero."""
    path = folder / name
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "sparse":
            with path.open("wb") as file:
                file.truncate(6 << 30)
    return path
