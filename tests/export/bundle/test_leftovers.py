"""What a killed command leaves, and who removes it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pocketvl.export.bundle.leftovers import SCRATCH, lock, scratch_folder
from pocketvl.runtime.bundle.open import open_bundle
from tests.support.manifests import write_small_bundle

# Begins a bundle for argv[1], as a process of a command whose scratch folder the environment names; killed
# in the middle, with the old bundle already moved aside.
KILLED = """
import os, signal, sys
from pathlib import Path
from pocketvl.export.bundle.writer import partial_bundle
destination = Path(sys.argv[1])
with partial_bundle(destination, overwrite=True) as partial:
    (partial.folder / "half.bin").write_bytes(bytes(100))
    if destination.exists():
        destination.rename(partial.folder.with_name("old"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def kill_in_the_middle(destination: Path, scratch: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, destination],
        env=os.environ | {SCRATCH: str(scratch), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    assert list(destination.parent.glob(".*.partial-*"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_command_that_started_it_removes_it(tmp_path: Path, temporary: Path) -> None:
    manifest = write_small_bundle(tmp_path / "old")
    with scratch_folder() as scratch:
        kill_in_the_middle(tmp_path / "old", scratch)
        kill_in_the_middle(tmp_path / "deep" / "er" / "new", scratch)
        assert not (tmp_path / "old").exists()
    assert names(tmp_path) == ["old", "temporary"]
    assert open_bundle(tmp_path / "old", verify="always").manifest == manifest
    assert names(temporary) == []


def test_the_next_command_removes_it_if_that_was_killed_too(tmp_path: Path, temporary: Path) -> None:
    dead, live = temporary / "pocketvl-dead", temporary / "pocketvl-live"
    for scratch in (dead, live):
        scratch.mkdir()
        (scratch / "file").write_bytes(b"x")
        kill_in_the_middle(tmp_path / scratch.name / "out", scratch)
    held = lock(live)
    assert held is not None
    try:
        with scratch_folder():
            pass
    finally:
        os.close(held)
    assert names(temporary) == ["pocketvl-live"]
    assert names(tmp_path) == ["pocketvl-live", "temporary"]


def test_a_work_folder_that_another_process_holds_is_left(tmp_path: Path, temporary: Path) -> None:
    """The command was killed, but a process below it still works."""
    dead = temporary / "pocketvl-dead"
    dead.mkdir()
    kill_in_the_middle(tmp_path / "out", dead)
    (work,) = tmp_path.glob(".out.partial-*")
    held = lock(work)
    assert held is not None
    try:
        with scratch_folder():
            pass
    finally:
        os.close(held)
    assert (work / "new" / "half.bin").is_file()


def test_a_strangers_folder_and_a_damaged_note_do_no_harm(tmp_path: Path, temporary: Path) -> None:
    (temporary / "pocketvl-link").symlink_to(tmp_path)
    odd = temporary / "pocketvl-odd"
    odd.mkdir()
    (odd / "begun.jsonl").write_bytes(b'["half')
    with scratch_folder() as scratch:
        assert scratch.is_dir()
    assert names(temporary) == ["pocketvl-link"]
    shutil.rmtree(temporary)
