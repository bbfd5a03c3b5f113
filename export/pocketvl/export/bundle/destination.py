"""What may be where a bundle is to go: nothing, an empty folder, or a bundle to replace."""

import os
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime import names
from pocketvl.runtime.bundle.file import read_json
from pocketvl.runtime.errors import BundleError, ExportError

# Files that a file manager leaves; nobody misses them.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
_MOST_NAME = 255 - len(".." + "partial-01234567")  # bytes of a name, beside which others are made from it


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
