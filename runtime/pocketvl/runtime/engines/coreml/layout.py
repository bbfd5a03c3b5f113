"""Where the files of an .mlpackage folder stand: its Manifest.json, read with suspicion."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from pocketvl.runtime.errors import BundleError

MANIFEST = "Manifest.json"


def model_path(package: Path) -> Path:
    """The model file that the root item of Manifest.json names, below the folder Data.

    Raises BundleError if the manifest is missing, malformed or names a file outside the package.
    """
    manifest = package / MANIFEST
    value = _read(manifest)
    try:
        path = value["itemInfoEntries"][value["rootModelIdentifier"]]["path"]
    except (KeyError, TypeError):
        path = None
    if not isinstance(path, str):
        raise BundleError(f"{manifest} names no root model; copy the bundle again or export it again.")
    return inside(package, package / "Data", path, manifest)


def inside(package: Path, folder: Path, path: str, named_by: Path) -> Path:
    """folder / path. Raises BundleError, naming `named_by`, unless it is a file of the package."""
    pure = PurePosixPath(path)
    leaves = pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts
    if leaves or not (folder / pure).resolve().is_relative_to(package.resolve()):
        raise BundleError(
            f"{named_by} names the file {path!r}, which is not inside the package; export again."
        )
    if not (folder / pure).is_file():
        raise BundleError(f"{folder / pure} is missing; copy the whole bundle again or export it again.")
    return folder / pure


def _read(manifest: Path) -> Any:
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{manifest} cannot be read ({error.strerror}); is {manifest.parent} an .mlpackage folder?"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest} is not valid JSON: {error}; export the bundle again.") from None
