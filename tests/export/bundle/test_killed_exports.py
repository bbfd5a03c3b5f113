"""What an export that was killed leaves is put in order by the next one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketvl.export.bundle.writer import partial_bundle
from pocketvl.runtime.bundle.open import open_bundle
from tests.support.bundle_writing import children, everything, write
from tests.support.manifests import write_small_bundle

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
