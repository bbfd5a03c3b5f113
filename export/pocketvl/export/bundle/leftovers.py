"""What a process that is killed leaves behind, and how others find and remove it.

A bundle is written in a work folder beside its destination (writer.py), locked by its process. One
that nobody holds locked is a dead process's: the next export to the same destination removes it. The program
that started the command (cli/supervise.py) does so at once: it names a folder in the environment variable
POCKETVL_SCRATCH, and every process below it notes there which work folders it makes.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SCRATCH = "POCKETVL_SCRATCH"  # environment variable: the folder of one command
_BEGUN = "begun.jsonl"  # in that folder: a line for each work folder
_PREFIX = "pocketvl-"
_YOUNG = 60.0  # seconds in which a new folder gets its lock and first file


def lock(folder: Path) -> int | None:
    """An open descriptor that holds the lock, which ends with the process, however that ends.

    None if another process has it or the file system has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def settle(work: Path, destination: Path) -> None:
    """Put back an old bundle whose successor did not arrive, then remove the work folder."""
    try:
        _restore_and_remove(work, destination)
    except KeyboardInterrupt:
        # A second Ctrl-C must not leave gigabytes behind; removing them takes no time.
        _restore_and_remove(work, destination)
        raise


def settle_dead(work: Path, destination: Path) -> None:
    """`settle` if the work folder's process is gone."""
    with _if_dead(work) as dead:
        if dead:
            settle(work, destination)


def note_begun(work: Path, destination: Path, new_parents: Sequence[Path]) -> None:
    """Before the work folder is made. new_parents: folders made for the destination, outermost first."""
    scratch = os.environ.get(SCRATCH)
    if scratch is None:
        return
    line = json.dumps([str(work), str(destination), [str(parent) for parent in new_parents]])
    # Where it cannot be noted, the next export to this destination removes it all the same.
    with suppress(OSError), (Path(scratch) / _BEGUN).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A locked folder for the temporary files of one command and of all processes below it.

    At the end, when those processes are gone, it is removed, and with it what `note_begun` noted there; so
    are, at the beginning, the folders of commands that were killed. Raises OSError if it cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    for other in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if other.lstat().st_uid == os.getuid():
                with _if_dead(other) as dead:
                    if dead:
                        _remove_scratch(other, settle_dead)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = lock(folder)
    try:
        yield folder
    finally:
        _remove_scratch(folder, settle)
        if held is not None:
            os.close(held)


@contextmanager
def _if_dead(folder: Path) -> Iterator[bool]:
    """Whether the folder's process is gone; if so, the folder is locked for the block."""
    try:
        # An empty one may have been made this instant, to be locked next.
        if time.time() - folder.stat().st_mtime < _YOUNG and not any(folder.iterdir()):
            yield False
            return
        held = lock(folder)
    except OSError:  # gone, or no folder
        yield False
        return
    try:
        yield held is not None
    finally:
        if held is not None:
            os.close(held)


def _remove_scratch(folder: Path, remove: Callable[[Path, Path], None]) -> None:
    with suppress(OSError, ValueError):
        for line in (folder / _BEGUN).read_text(encoding="utf-8").splitlines():
            work, destination, parents = json.loads(line)
            remove(Path(work), Path(destination))
            for parent in reversed(parents):
                with suppress(OSError):
                    Path(parent).rmdir()  # goes only where nothing was written
    shutil.rmtree(folder, ignore_errors=True)


def _restore_and_remove(work: Path, destination: Path) -> None:
    old = work / "old"
    if old.is_dir() and not destination.exists():
        old.rename(destination)
    shutil.rmtree(work, ignore_errors=True)
