"""Writing the small bundle into a folder, and what is in a folder afterwards."""

from collections.abc import Callable
from pathlib import Path

from pocketvl.export.bundle.writer import PartialBundle, partial_bundle
from tests.support.manifests import fill_folder, small_manifest


def write(destination: Path, overwrite: bool = False) -> None:
    with partial_bundle(destination, overwrite=overwrite) as partial:
        fill_folder(partial.folder)
        partial.complete(small_manifest(partial.records()))


def write_by(destination: Path, action: Callable[[PartialBundle], object]) -> None:
    """Let the action do what is done between start and end."""
    with partial_bundle(destination, overwrite=True) as partial:
        fill_folder(partial.folder)
        action(partial)


def children(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
