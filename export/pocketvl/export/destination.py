"""What may stand where a bundle is to go: nothing, an empty folder, or a bundle to replace."""

import json
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime import names
from pocketvl.runtime.errors import BundleError, ExportError
from pocketvl.runtime.files import read_text

# Files that a file manager leaves; nobody misses them.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


def check_destination(destination: Path, overwrite: bool) -> None:
    """Raise ExportError unless the bundle may be written there.

    overwrite replaces a bundle only: a folder with one file that no manifest lists is left alone.
    """
    if not destination.exists():
        return
    if not destination.is_dir():
        raise ExportError(f"{destination} is a file; choose a folder that does not exist yet.")
    try:
        foreign = _foreign_file(destination)
    except OSError as error:
        raise ExportError(f"{destination} cannot be read: {error.strerror or error}.") from None
    if foreign is not None:
        raise ExportError(
            f"{destination} holds {foreign}, which no pocketvl bundle put there; choose another folder,"
            " or move that file away."
        )
    if not overwrite and any(destination.iterdir()):
        raise ExportError(f"{destination} already holds a bundle; choose another folder or add --overwrite.")


def _foreign_file(folder: Path) -> str | None:
    """A file that is not part of a bundle; None if there is none."""
    present = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not _is_folder(path)
    )
    bundle = _read_bundle(folder / names.MANIFEST_FILE)
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


def _read_bundle(manifest: Path) -> _Files:
    """The files of a manifest of any version, itself among them; none if it is no manifest of ours."""
    try:
        value = json.loads(read_text(manifest, BundleError))
        if not {"schema_version", "target", "provenance"} <= value.keys():
            return _Files(frozenset(), "")
        files = {names.MANIFEST_FILE, *(str(record["path"]) for record in value["files"])}
        return _Files(frozenset(files), str(value["target"]))
    except (BundleError, ValueError, KeyError, TypeError, AttributeError):
        return _Files(frozenset(), "")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
