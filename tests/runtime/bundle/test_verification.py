"""Hashes are compared once for each state of a file, and a cache that fails costs only the hashing."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle import stamps
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.bundle.stamps import Stamp, read_stamps, stamp_of, write_stamps
from pocketvl.runtime.bundle.verification import Verify
from pocketvl.runtime.errors import BundleError, UsageError
from tests.support.manifests import write_small_bundle

DAMAGED = r"vision_encoder\.pte is damaged"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle, a cache of its own, and no wait until files count as settled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "_RECENT", -1)
    write_small_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def cached(folder: Path) -> Path:
    """The only file of the cache."""
    (path,) = (folder.parent / "cache" / "pocketvl" / "verified").iterdir()
    return path


def damage(folder: Path) -> Path:
    """Flip a bit in place, so that path, inode and size stay."""
    path = folder / names.VISION_ENCODER_PTE
    time.sleep(0.02)  # more than a tick of the clock that dates files
    with path.open("r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    return path


def assert_damage_is_found(folder: Path, verify: Verify = "stamp") -> None:
    with pytest.raises(BundleError, match=DAMAGED):
        open_bundle(folder, verify)


def test_a_stamp_spares_the_hashing(folder: Path) -> None:
    """Seen by a stamp that calls a damaged file equal."""
    open_bundle(folder)
    path = damage(folder)
    known = dict(read_stamps(folder))
    assert set(known) == {record.path for record in open_bundle(folder, "never").manifest.files}
    write_stamps(folder, known | {path.name: stamp_of(path.stat(), known[path.name].sha256)})
    open_bundle(folder)
    assert_damage_is_found(folder, "always")


def test_damage_after_the_stamp_is_found(folder: Path) -> None:
    open_bundle(folder)
    damage(folder)
    assert_damage_is_found(folder)
    assert_damage_is_found(folder)  # and is not remembered


def test_damage_under_the_old_time_is_found(folder: Path) -> None:
    open_bundle(folder)
    before = (folder / names.VISION_ENCODER_PTE).stat()
    path = damage(folder)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert_damage_is_found(folder)


def test_another_file_of_the_same_name_is_hashed(folder: Path) -> None:
    open_bundle(folder)
    path = folder / names.VISION_ENCODER_PTE
    content = path.read_bytes()
    (folder.parent / "other").write_bytes(content[::-1])
    (folder.parent / "other").replace(path)
    assert_damage_is_found(folder)
    path.write_bytes(content)
    open_bundle(folder)


def test_another_hash_in_the_manifest_is_compared(folder: Path) -> None:
    open_bundle(folder)
    path = folder / names.MANIFEST_FILE
    manifest = json.loads(path.read_text())
    for record in manifest["files"]:
        record["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    write_manifest_hash(folder)
    with pytest.raises(BundleError, match="is damaged"):
        open_bundle(folder)


def test_a_file_written_just_now_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could change once more within the same tick of its file system's clock."""
    monkeypatch.setattr(stamps, "_RECENT", 2 * 10**9)
    open_bundle(folder)
    assert read_stamps(folder) == {}


@pytest.mark.parametrize("obstacle", ["file", "device", "relative", "no home"])
def test_without_a_cache_files_are_hashed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    (folder.parent / "cache").touch()
    places = {"file": str(folder.parent / "cache"), "device": "/dev/null/cache"}
    monkeypatch.setenv("XDG_CACHE_HOME", places.get(obstacle, "relative"))
    monkeypatch.setenv("HOME", "/dev/null")
    if obstacle == "no home":
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    open_bundle(folder)
    assert read_stamps(folder) == {}
    assert not Path("relative").exists()
    damage(folder)
    assert_damage_is_found(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", '{"vision_encoder.pte": [1]}', '{"vision_encoder.pte": 7}', "\xff"],
)
def test_damaged_stamps_are_none(folder: Path, content: str) -> None:
    open_bundle(folder)
    cached(folder).write_text(content, encoding="latin-1")
    damage(folder)
    assert_damage_is_found(folder)


def test_a_pipe_in_the_cache_is_not_opened(folder: Path) -> None:
    open_bundle(folder)
    path = cached(folder)
    path.unlink()
    os.mkfifo(path)
    open_bundle(folder)
    assert path.is_file()  # replaced by a sound one


def test_who_writes_at_once_tears_nothing(folder: Path) -> None:
    """A reader sees what one of them wrote, as a whole."""
    versions = [
        {f"{number}-{index}": Stamp(number, 1, 2, 3, 4, "a" * 64) for index in range(200)}
        for number in range(3)
    ]
    write_stamps(folder, versions[0])
    stop = threading.Event()

    def write(version: dict[str, Stamp]) -> None:
        while not stop.is_set():
            write_stamps(folder, version)

    writers = [threading.Thread(target=write, args=(version,)) for version in versions]
    for writer in writers:
        writer.start()
    seen = [read_stamps(folder) for _ in range(100)]
    stop.set()
    for writer in writers:
        writer.join()
    assert all(value in versions for value in seen)
    assert cached(folder).suffix == ".json"  # and no other file is left


def test_only_the_latest_bundles_are_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_MOST_BUNDLES", 3)
    known = {"a": Stamp(1, 2, 3, 4, 5, "a" * 64)}
    for index in range(6):
        time.sleep(0.02)  # files are dated by a clock of some milliseconds
        write_stamps(folder / str(index), known)
    assert [bool(read_stamps(folder / str(index))) for index in range(6)] == [False] * 3 + [True] * 3


def test_an_unknown_way_to_verify_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="verify is True, but must be one of stamp, always, never"):
        open_bundle(folder, True)  # type: ignore[arg-type]
