"""Writing a bundle beside its destination and moving it into place when it is complete.

The work folder `.NAME.partial-RANDOM` is a sibling of the destination, hence on the same file system:

    .NAME.partial-1f3a/new    the bundle being written
    .NAME.partial-1f3a/old    the bundle that it replaces, for the moment between two renames

It is locked as long as its process lives, so that a later export can tell a dead one and remove it
(leftovers.py). Signals are the program's business: what one of them ends at once is such a dead one.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketvl.export.bundle.destination import check_destination, output_folder
from pocketvl.export.bundle.leftovers import lock, note_begun, settle, settle_dead
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import FileRecord, Manifest, write_manifest
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.errors import ExportError, SpaceError

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
        paths = (path.relative_to(self.folder).as_posix() for path in self._files())
        wanted = [
            self.folder / path
            for path in paths
            if path != names.MODEL_CARD and names.is_optional(path, target) == optional
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return tuple(pool.map(self._record, wanted))

    def complete(self, manifest: Manifest) -> None:
        """Write manifest.json and its hash, the last files, and move the bundle into place.

        Raises ExportError if the destination changed meanwhile; then nothing is replaced.
        """
        listed = {record.path for record in (*manifest.files, *manifest.optional_files)}
        for path in self._files():
            if path.relative_to(self.folder).as_posix() not in listed:
                _sync(path)
        write_manifest(manifest, self.folder / names.MANIFEST_FILE)
        write_manifest_hash(self.folder)
        _sync(self.folder / names.MANIFEST_FILE)
        _sync(self.folder / names.MANIFEST_HASH_FILE)
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

    Any exception removes it, KeyboardInterrupt included; what exports left that were killed is removed first.
    Raises ExportError for a destination that may not be written or replaced, SpaceError when the disk fills
    up.
    """
    destination = output_folder(destination).resolve()
    check_destination(destination, overwrite)
    parents: list[Path] = []
    work = destination.parent / f".{destination.name}.partial-{secrets.token_hex(4)}"
    held = None
    try:
        try:
            parents = _missing(destination.parent)
            note_begun(work, destination, parents)
            destination.parent.mkdir(parents=True, exist_ok=True)
            for dead in destination.parent.glob(f".{_glob_escape(destination.name)}.partial-*"):
                settle_dead(dead, destination)
            work.mkdir()
            held = lock(work)
            partial = PartialBundle(work, destination, overwrite)
            partial.folder.mkdir()
            yield partial
        finally:
            settle(work, destination)
            for parent in reversed(parents):
                with suppress(OSError):
                    parent.rmdir()  # goes only where nothing was written
            if held is not None:
                os.close(held)
    except OSError as error:
        raise _explained(error, destination) from error


def _missing(folder: Path) -> list[Path]:
    """Which of the folder and those above it do not exist, outermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()][::-1]


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
