"""Writing a bundle beside its destination and moving it into place when it is complete.

The work folder `.NAME.partial-RANDOM` is a sibling of the destination, hence on the same file system:

    .NAME.partial-1f3a/new    the bundle being written
    .NAME.partial-1f3a/old    the bundle that it replaces, for the moment between two renames

It is locked as long as its process lives, so that a later export can tell a dead one and remove it.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from pocketvl.export.destination import check_destination
from pocketvl.runtime import names
from pocketvl.runtime.errors import ExportError, SpaceError
from pocketvl.runtime.manifest import FileRecord, Manifest, write_manifest

_CHUNK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class PartialBundle:
    """A bundle being written: put its files into `folder`, then call `complete`."""

    def __init__(self, work: Path, destination: Path, overwrite: bool) -> None:
        self.folder = work / "new"
        self._old = work / "old"
        self._destination = destination
        self._overwrite = overwrite

    def records(self, target: str = names.EXECUTORCH, *, optional: bool = False) -> tuple[FileRecord, ...]:
        """Size and sha256 of every file so far that an app needs, or of those that are optional for this
        target, sorted by path; each is brought to the disk, too. The model card is edited later and has none.
        """
        return tuple(
            self._record(self.folder / path)
            for path in (path.relative_to(self.folder).as_posix() for path in self._files())
            if path != names.MODEL_CARD and names.is_optional(path, target) == optional
        )

    def complete(self, manifest: Manifest) -> None:
        """Write manifest.json, the last file, and move the bundle into place.

        Raises ExportError if the destination changed meanwhile; then nothing is replaced.
        """
        listed = {record.path for record in (*manifest.files, *manifest.optional_files)}
        for path in self._files():
            if path.relative_to(self.folder).as_posix() not in listed:
                _sync(path)
        path = self.folder / names.MANIFEST_FILE
        write_manifest(manifest, path)
        _sync(path)
        _sync(self.folder)
        check_destination(self._destination, self._overwrite)
        if self._destination.exists():
            self._destination.rename(self._old)
        self.folder.rename(self._destination)
        _sync(self._destination.parent)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def _record(self, path: Path) -> FileRecord:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            size = 0
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
            os.fsync(file.fileno())
        return FileRecord(path.relative_to(self.folder).as_posix(), size, digest.hexdigest())


@contextmanager
def partial_bundle(destination: Path, *, overwrite: bool = False) -> Iterator[PartialBundle]:
    """A work folder that becomes `destination` by PartialBundle.complete, or else leaves no trace.

    Any exception, Ctrl-C, SIGTERM and SIGHUP remove it. Leftovers of exports that were killed are
    removed first. Raises ExportError for a destination that may not be written or replaced,
    SpaceError when the disk fills up.
    """
    destination = destination.expanduser().resolve()
    check_destination(destination, overwrite)
    parents: list[Path] = []
    work = destination.parent / f".{destination.name}.partial-{secrets.token_hex(4)}"
    lock = None
    try:
        with _terminated_by_exception():
            try:
                parents = _make_parents(destination.parent)
                _remove_dead(destination)
                lock = _make_locked(work)
                partial = PartialBundle(work, destination, overwrite)
                partial.folder.mkdir()
                yield partial
            finally:
                _settle(work, destination)
                for parent in reversed(parents):
                    with suppress(OSError):
                        parent.rmdir()  # goes only where nothing was written
                if lock is not None:
                    os.close(lock)
    except OSError as error:
        raise _explained(error, destination) from error


def _make_parents(folder: Path) -> list[Path]:
    """Make the folder and those above it; returns the new ones, outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _make_locked(work: Path) -> int | None:
    """Make the work folder and lock it; the lock ends with the process, however it ends."""
    work.mkdir()
    return _lock(work)


def _lock(folder: Path) -> int | None:
    """An open descriptor that holds the lock; None if another process has it or the file system has none."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_dead(destination: Path) -> None:
    """Remove what exports to this destination left when they were killed."""
    for work in destination.parent.glob(f".{_glob_escape(destination.name)}.partial-*"):
        # A folder without "new" may be one that another process made this instant and locks next.
        if not (work / "new").is_dir():
            continue
        lock = _lock(work)
        if lock is not None:
            _settle(work, destination)
            os.close(lock)


def _settle(work: Path, destination: Path) -> None:
    """Put back an old bundle whose successor did not arrive, then remove the work folder."""
    try:
        _restore_and_remove(work, destination)
    except KeyboardInterrupt:
        # A second Ctrl-C must not leave gigabytes behind; removing them takes no time.
        _restore_and_remove(work, destination)
        raise


def _restore_and_remove(work: Path, destination: Path) -> None:
    old = work / "old"
    if old.is_dir() and not destination.exists():
        old.rename(destination)
    shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block by SystemExit, so that it cleans up like any exception.

    A handler that the program has set is left alone; only the main thread can set one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    default = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in default:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in default:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _glob_escape(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _explained(error: OSError, destination: Path) -> ExportError:
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return SpaceError(
            f"The disk that holds {destination.parent} became full while the bundle was written ({reason});"
            " nothing was left there. Free some space or choose another disk."
        )
    if error.errno in _NOT_ALLOWED:
        return ExportError(
            f"{destination.parent} cannot be written ({reason}); choose another output folder or change"
            " its permissions."
        )
    place = f" ({error.filename})" if error.filename else ""
    return ExportError(f"Writing {destination} failed: {reason}{place}.")
