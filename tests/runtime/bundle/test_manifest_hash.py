"""manifest.json has a hash beside it, and what does not fit it is refused in a sentence."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.bundle.verification import Verify
from pocketvl.runtime.errors import ManifestError
from tests.support.manifests import write_small_bundle

WRITTEN_FOR = r"manifest\.json is not what .*manifest\.sha256 was written for"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def edit(folder: Path, key: str, value: object) -> None:
    path = folder / names.MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


@pytest.mark.parametrize("verify", ["stamp", "always"])
def test_a_possible_value_that_was_edited(folder: Path, verify: Verify) -> None:
    edit(folder, "prefill_chunk", 16)
    assert open_bundle(folder, "never").manifest.prefill_chunk == 16
    with pytest.raises(ManifestError, match=WRITTEN_FOR) as caught:
        open_bundle(folder, verify)
    assert "copy the bundle again or export it again" in str(caught.value)
    assert "`sha256sum manifest.json > manifest.sha256` in its folder." in str(caught.value)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_an_edit_that_is_meant_is_accepted_as_the_message_says(folder: Path) -> None:
    edit(folder, "prefill_chunk", 16)
    subprocess.run("sha256sum manifest.json > manifest.sha256", shell=True, cwd=folder, check=True)
    assert open_bundle(folder).manifest.prefill_chunk == 16


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
@pytest.mark.parametrize("file", [names.MANIFEST_FILE, names.MANIFEST_HASH_FILE])
def test_every_bit_counts(folder: Path, file: str, place: int, bit: int) -> None:
    path = folder / file
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[place % len(sound)] ^= 1 << bit
    path.write_bytes(damaged)
    with pytest.raises(ManifestError, match=path.name):
        open_bundle(folder)
    path.write_bytes(sound)
    open_bundle(folder)


def test_without_its_hash(folder: Path) -> None:
    (folder / names.MANIFEST_HASH_FILE).unlink()
    with pytest.raises(ManifestError, match=r"manifest\.sha256 is missing.*export it again"):
        open_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"0" * 64, b"0" * 64 + b"  manifest.json\r\n", b"\xff" * 200])
def test_what_is_no_hash(folder: Path, content: bytes) -> None:
    (folder / names.MANIFEST_HASH_FILE).write_bytes(content)
    with pytest.raises(ManifestError, match=WRITTEN_FOR):
        open_bundle(folder)


def test_a_pipe_and_a_folder_in_place_of_the_hash(folder: Path) -> None:
    path = folder / names.MANIFEST_HASH_FILE
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ManifestError, match=r"manifest\.sha256 is no regular file"):
        open_bundle(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(ManifestError, match=r"manifest\.sha256 is missing"):
        open_bundle(folder)
