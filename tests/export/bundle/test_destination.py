"""Where a bundle may be written, and what is never replaced."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pocketvl.export.bundle.writer import PartialBundle
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import ExportError
from tests.support.bundle_writing import children, everything, write, write_by
from tests.support.manifests import small_manifest, write_small_bundle


def refusal(destination: Path, overwrite: bool = False) -> str:
    before = everything(destination.parent)
    with pytest.raises(ExportError) as caught:
        write(destination, overwrite)
    assert everything(destination.parent) == before
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_an_existing_bundle_needs_overwrite(tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "out")
    (tmp_path / "out" / ".DS_Store").write_bytes(b"litter")
    assert "--overwrite" in refusal(tmp_path / "out")
    inode = (tmp_path / "out").stat().st_ino
    write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").stat().st_ino != inode
    assert children(tmp_path) == ["out"]
    open_bundle(tmp_path / "out", verify="always")


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    open_bundle(tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "cat.jpg").write_bytes(b"cat")
    assert "photos/cat.jpg" in refusal(tmp_path / "out", overwrite)


@pytest.mark.parametrize("manifest", ["{}", "[]", "not json", '{"schema_version": 1, "files": []}'])
def test_a_manifest_of_something_else(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(manifest)
    assert "manifest.json" in refusal(tmp_path / "out", overwrite=True)


def test_a_bundle_with_a_file_of_the_user(tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert "notes.txt" in refusal(tmp_path / "out", overwrite=True)


def test_a_bundle_of_another_version_may_be_replaced(tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "out")
    path = tmp_path / "out" / names.MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 77, "new": 1}))
    write(tmp_path / "out", overwrite=True)
    open_bundle(tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_way(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refusal(tmp_path / "out", overwrite)


def test_a_file_among_the_parents(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match=r"file"):
        write(tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_as_destination(tmp_path: Path) -> None:
    """The bundle goes where the link points; the link stays."""
    write_small_bundle(tmp_path / "real")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    write(tmp_path / "alias", overwrite=True)
    assert (tmp_path / "alias").is_symlink()
    assert children(tmp_path) == ["alias", "real"]
    open_bundle(tmp_path / "real")


def test_a_destination_that_fills_meanwhile(tmp_path: Path) -> None:
    destination = tmp_path / "out"

    def come_between(partial: PartialBundle) -> None:
        destination.mkdir()
        (destination / "mine.txt").write_text("mine")
        partial.complete(small_manifest(partial.records()))

    with pytest.raises(ExportError, match=r"mine\.txt"):
        write_by(destination, come_between)
    assert everything(tmp_path) == {"out", "out/mine.txt"}


@contextmanager
def nobody() -> Iterator[None]:
    """An ordinary user's rights, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_parent_that_cannot_be_written() -> None:
    # Not tmp_path: pytest's folders are closed to the other user.
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        parent.chmod(0o555)
        try:
            with nobody(), pytest.raises(ExportError, match=r"cannot be written.*permissions"):
                write(parent / "out")
            assert everything(parent) == set()
        finally:
            parent.chmod(0o755)


def test_a_card_alone_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / names.MODEL_CARD).write_text("mine")
    with pytest.raises(ExportError, match="no pocketvl bundle put there"):
        write(tmp_path, overwrite=True)
