"""A bundle appears whole or not at all, and nothing of the user's is ever lost."""

import errno
import os
import resource
import signal
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from pocketvl.export.bundle.writer import PartialBundle, partial_bundle
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import CheckpointError, ExportError, SpaceError
from tests.support.bundle_writing import children, everything, write, write_by
from tests.support.manifests import fill_folder, small_manifest, write_small_bundle


def test_a_new_bundle(tmp_path: Path) -> None:
    write(tmp_path / "out")
    bundle = open_bundle(tmp_path / "out", verify="always")
    assert {record.path for record in bundle.manifest.files} | {
        names.MANIFEST_FILE,
        names.MANIFEST_HASH_FILE,
    } == everything(tmp_path / "out")
    assert children(tmp_path) == ["out"]


def test_nothing_under_the_final_name_before_it_is_complete(tmp_path: Path) -> None:
    destination = tmp_path / "out"
    with partial_bundle(destination) as partial:
        fill_folder(partial.folder)
        assert not destination.exists()
        assert partial.folder.parent.parent == tmp_path
        assert partial.folder.parent.name.startswith(".out.partial-")
        manifest = small_manifest(partial.records())
        assert not destination.exists()
        assert not (partial.folder / names.MANIFEST_FILE).exists()
        partial.complete(manifest)
        assert open_bundle(destination).manifest == manifest


def test_records(tmp_path: Path) -> None:
    with partial_bundle(tmp_path / "out") as partial:
        (partial.folder / "sub").mkdir()
        (partial.folder / "sub" / "b").write_bytes(b"x" * (3 << 20))
        (partial.folder / "a").write_bytes(b"")
        first, second = partial.records()
    assert (first.path, first.size, first.sha256) == ("a", 0, sha256(b"").hexdigest())
    assert (second.path, second.size) == ("sub/b", 3 << 20)
    assert second.sha256 == sha256(b"x" * (3 << 20)).hexdigest()


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(3), CheckpointError("x")]
)
@pytest.mark.parametrize("existing", [False, True])
def test_an_exception_leaves_nothing(tmp_path: Path, error: BaseException, existing: bool) -> None:
    destination = tmp_path / "deep" / "er" / "out"
    if existing:
        write_small_bundle(destination)
    before = everything(tmp_path)

    def fail(_: PartialBundle) -> None:
        raise error

    with pytest.raises(type(error)):
        write_by(destination, fail)
    assert everything(tmp_path) == before
    if existing:
        open_bundle(destination, verify="always")


def test_leaving_without_completing(tmp_path: Path) -> None:
    with partial_bundle(tmp_path / "a" / "out") as partial:
        fill_folder(partial.folder)
    assert everything(tmp_path) == set()


def test_a_missing_file_keeps_the_bundle_from_completing(tmp_path: Path) -> None:
    """A manifest that does not fit is refused by Manifest itself; nothing is moved into place."""

    def lose_a_file(partial: PartialBundle) -> None:
        (partial.folder / names.TEXT_DECODER_PTE).unlink()
        partial.complete(small_manifest(partial.records()))

    with pytest.raises(ValueError, match=r"text_decoder\.pte"):
        write_by(tmp_path / "out", lose_a_file)
    assert everything(tmp_path) == set()


def test_a_failure_between_the_two_renames_puts_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "out"
    old = write_small_bundle(destination)
    rename = Path.rename

    def fail_to_move_in(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, "disk error", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_move_in)
    with pytest.raises(ExportError, match="disk error"):
        write(destination, overwrite=True)
    assert open_bundle(destination, verify="always").manifest == old
    assert children(tmp_path) == ["out"]


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: the system call fails in the middle of a file."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, old[1]))
        with pytest.raises(SpaceError, match="became full"):
            write_by(tmp_path / "out", lambda partial: (partial.folder / "large").write_bytes(bytes(1 << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert everything(tmp_path) == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_left(tmp_path: Path, code: int) -> None:
    with pytest.raises(SpaceError, match="Free some space"), partial_bundle(tmp_path / "out"):
        raise OSError(code, os.strerror(code))


def test_another_thread_may_write(tmp_path: Path) -> None:
    thread = threading.Thread(target=write, args=(tmp_path / "b",))
    thread.start()
    thread.join()
    open_bundle(tmp_path / "b")


def test_the_model_card_stands_beside_the_manifest(tmp_path: Path) -> None:
    destination = tmp_path / "out"
    with partial_bundle(destination) as partial:
        fill_folder(partial.folder)
        (partial.folder / names.MODEL_CARD).write_text("# card")
        partial.complete(small_manifest(partial.records()))
    listed = {record.path for record in open_bundle(destination, verify="always").manifest.files}
    assert everything(destination) == listed | {
        names.MANIFEST_FILE,
        names.MANIFEST_HASH_FILE,
        names.MODEL_CARD,
    }
    write(destination, overwrite=True)
    assert names.MODEL_CARD not in children(destination)
