"""A bundle appears whole or not at all, and nothing of the user's is ever lost."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from pocketvl.export.bundle.writer import PartialBundle, partial_bundle
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import CheckpointError, ExportError, SpaceError
from tests.support.manifests import fill_folder, small_manifest, write_small_bundle


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


# Starts a bundle, says so, and waits; what happens then is up to the signal. Tests that a shell started in
# the background inherit an ignored SIGINT, so the script takes it back.
SLOW_WRITER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pocketvl.export.bundle.writer import partial_bundle
with partial_bundle(Path(sys.argv[1]), overwrite=True) as partial:
    (partial.folder / "part.bin").write_bytes(bytes(100))
    print("started", flush=True)
    time.sleep(60)
"""


@contextmanager
def slow_writer(destination: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(destination)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_in_a_program_of_its_own(tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "out")
    before = everything(tmp_path)
    with slow_writer(tmp_path / "out") as process:
        assert everything(tmp_path) > before
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    assert everything(tmp_path) == before
    open_bundle(tmp_path / "out", verify="always")


def test_leftovers_of_a_killed_export_are_removed_but_not_those_of_a_live_one(tmp_path: Path) -> None:
    destination = tmp_path / "out[1]"  # as a pattern, this would match another name
    with slow_writer(destination) as process:
        process.kill()
        process.wait(20)
    (dead,) = tmp_path.iterdir()
    with slow_writer(destination):
        (live,) = tmp_path.iterdir()
        assert live != dead
        write(destination)
        assert set(tmp_path.iterdir()) == {live, destination}
    open_bundle(destination)


def test_an_old_bundle_left_by_a_killed_export_comes_back(tmp_path: Path) -> None:
    """Killed between the two renames: the destination is gone and the old bundle in the work folder."""
    manifest = write_small_bundle(tmp_path / ".out.partial-0123abcd" / "old")
    (tmp_path / ".out.partial-0123abcd" / "new").mkdir()
    with suppress(RuntimeError), partial_bundle(tmp_path / "out", overwrite=True):
        raise RuntimeError
    assert children(tmp_path) == ["out"]
    assert open_bundle(tmp_path / "out", verify="always").manifest == manifest


def test_a_replaced_bundle_whose_removal_was_cut_off_is_removed(tmp_path: Path) -> None:
    """Killed after both renames: the new bundle is in place, the old one still in the work folder."""
    write_small_bundle(tmp_path / "out")
    write_small_bundle(tmp_path / ".out.partial-0123abcd" / "old")
    write(tmp_path / "out", overwrite=True)
    assert children(tmp_path) == ["out"]


def test_an_empty_work_folder_is_removed_once_it_is_old(tmp_path: Path) -> None:
    """One that was made this instant may get its lock next."""
    for name, age in (("old", 3600), ("young", 0)):
        work = tmp_path / f".out.partial-{name}"
        work.mkdir()
        os.utime(work, (time.time() - age, time.time() - age))
    write(tmp_path / "out")
    assert children(tmp_path) == [".out.partial-young", "out"]


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


def test_a_card_alone_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / names.MODEL_CARD).write_text("mine")
    with pytest.raises(ExportError, match="no pocketvl bundle put there"):
        write(tmp_path, overwrite=True)
