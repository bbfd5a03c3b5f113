"""Writing a bundle beside its destination, and moving it into place when it is complete.

At the destination may be nothing, an empty folder, or a bundle to replace.

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
from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.bundle.leftovers import lock, note_begun, settle, settle_dead
from pocketvl.runtime import names
from pocketvl.runtime.bundle.file import read_json
from pocketvl.runtime.bundle.manifest import FileRecord, Manifest, write_manifest
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.errors import BundleError, ExportError, SpaceError

_CHUNK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Files that a file manager leaves; nobody misses them.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
_MOST_NAME = 255 - len(".." + "partial-01234567")  # bytes of a name, beside which others are made from it
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


def output_folder(path: Path) -> Path:
    """What the user calls an output: with ~ expanded, and with a name, which "." and ".." have not."""
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser fails for an unknown user
    return expanded if expanded.name not in ("", "..") else expanded.resolve()


def check_destination(destination: Path, overwrite: bool) -> None:
    """Raise ExportError unless the bundle may be written there.

    overwrite replaces a bundle only: a folder with one file that no manifest lists is left alone. Nor does a
    bundle go into another one, which would not be a bundle any more.
    """
    if len(os.fsencode(destination.name)) > _MOST_NAME:
        raise ExportError(f"{destination} has a name of more than {_MOST_NAME} bytes; choose a shorter one.")
    try:
        _check_parents(Path(os.path.realpath(destination)))
        if not destination.exists():
            return
        if not destination.is_dir():
            raise ExportError(f"{destination} is a file; choose a folder that does not exist yet.")
        foreign = _foreign_file(destination)
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or error
        raise ExportError(f"{destination} cannot be used ({reason}); choose another folder.") from None
    if foreign is not None:
        raise ExportError(
            f"{destination} holds {foreign}, which no pocketvl bundle put there; choose another folder,"
            " or move that file away."
        )
    if not overwrite and any(destination.iterdir()):
        raise ExportError(f"{destination} already holds a bundle; choose another folder or add --overwrite.")


def check_outside_bundles(folder: Path) -> None:
    """Raise ExportError if `folder` is a bundle or in one: what is written there would be foreign to it."""
    absolute = Path(os.path.realpath(folder))
    for bundle in (absolute, *absolute.parents):
        if _read_bundle(bundle).listed:
            raise ExportError(f"{folder} is in the bundle {bundle}; choose a folder outside of it.")


def _check_parents(destination: Path) -> None:
    """Of an absolute path without links."""
    check_outside_bundles(destination.parent)
    nearest = next(folder for folder in destination.parents if folder.exists())
    if not nearest.is_dir():
        raise ExportError(f"{nearest} is a file, so {destination} cannot be made; choose another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ExportError(
            f"{nearest} cannot be written; choose another output folder or change its permissions."
        )


def _foreign_file(folder: Path) -> str | None:
    """A file that is not part of a bundle; None if there is none."""
    present = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not _is_folder(path)
    )
    bundle = _read_bundle(folder)
    return next(
        (path for path in present if not bundle.holds(path) and Path(path).name not in _LITTER),
        None,
    )


@dataclass(frozen=True)
class _Files:
    """What a manifest says that its folder holds."""

    listed: frozenset[str]
    target: str

    def holds(self, path: str) -> bool:
        return path in self.listed or (bool(self.listed) and names.is_optional(path, self.target))


def _read_bundle(folder: Path) -> _Files:
    """What the manifest of any version in `folder` lists, itself included; nothing if it is none of ours."""
    try:
        value = read_json(folder, names.MANIFEST_FILE)
        if not {"schema_version", "target", "provenance"} <= value.keys():
            return _Files(frozenset(), "")
        own = (names.MANIFEST_FILE, names.MANIFEST_HASH_FILE)
        files = frozenset((*own, *(str(record["path"]) for record in value["files"])))
        return _Files(files, str(value["target"]))
    except (BundleError, ValueError, KeyError, TypeError, AttributeError):
        return _Files(frozenset(), "")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
