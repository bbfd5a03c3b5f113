"""A bundle opens only if every file, size, hash and id in it fits."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.bundle.verification import Verify
from pocketvl.runtime.errors import BundleError, ManifestError
from tests.support.manifests import TABLE, write_small_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(folder: Path, verify: Verify = "never") -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(folder, verify)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def change(folder: Path, *path: str | int, value: Any) -> None:
    manifest = json.loads((folder / names.MANIFEST_FILE).read_text())
    owner = manifest
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    (folder / names.MANIFEST_FILE).write_text(json.dumps(manifest))
    write_manifest_hash(folder)


@pytest.mark.parametrize("verify", ["stamp", "always", "never"])
def test_a_sound_bundle(folder: Path, verify: Verify) -> None:
    bundle = open_bundle(folder, verify)
    assert bundle.folder == folder
    assert bundle.manifest.recipe == "int8"
    assert bundle.path(names.TEXT_DECODER_PTE).stat().st_size == TABLE.end + 10
    with pytest.raises(BundleError, match=r"other\.pte"):
        bundle.path("other.pte")


def test_not_a_folder(folder: Path) -> None:
    assert "does not exist" in refusal(folder / "nothing")
    assert "is a file" in refusal(folder / names.MANIFEST_FILE)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="does not exist; is this folder a bundle"):
        open_bundle(tmp_path)


def test_a_missing_file(folder: Path) -> None:
    (folder / names.VISION_ENCODER_PTE).unlink()
    assert "vision_encoder.pte is missing" in refusal(folder)


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / names.VISION_ENCODER_PTE).unlink()
    (folder / names.VISION_ENCODER_PTE).mkdir()
    assert "vision_encoder.pte is missing" in refusal(folder)


@pytest.mark.parametrize("length", [0, 999, 1001])
def test_a_wrong_size(folder: Path, length: int) -> None:
    (folder / names.VISION_ENCODER_PTE).write_bytes(bytes(length))
    message = refusal(folder)
    assert f"vision_encoder.pte has {length} bytes, but the manifest says 1000" in message


@pytest.mark.parametrize("verify", ["stamp", "always"])
@pytest.mark.parametrize("file", [names.VISION_ENCODER_PTE, names.TOKENIZER_FILE, names.CHAT_TEMPLATE_FILE])
def test_one_bit_of_any_file_is_found(folder: Path, file: str, verify: Verify) -> None:
    path = folder / file
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    open_bundle(folder, verify="never")
    message = refusal(folder, verify)
    assert f"{file} is damaged or from another bundle: it has the sha256" in message
    assert "export it again" in message


def test_a_link_out_of_the_bundle(folder: Path) -> None:
    path = folder / names.VISION_ENCODER_PTE
    path.rename(folder.parent / "elsewhere.pte")
    path.symlink_to(folder.parent / "elsewhere.pte")
    assert "leaves the bundle" in refusal(folder)


def test_a_pipe_in_place_of_a_file(folder: Path) -> None:
    path = folder / names.VISION_ENCODER_PTE
    path.unlink()
    os.mkfifo(path)
    assert "vision_encoder.pte is no regular file" in refusal(folder)


def test_links_that_run_in_a_circle(folder: Path) -> None:
    path = folder / names.VISION_ENCODER_PTE
    path.unlink()
    path.symlink_to(path.name)
    assert "vision_encoder.pte is missing" in refusal(folder)


def test_a_name_that_no_disk_takes(folder: Path) -> None:
    change(folder, "files", 0, "path", value="x" * 300)
    assert "x cannot be read (File name too long)" in refusal(folder)


def add_optional(folder: Path) -> Path:
    """A file that an app may leave out."""
    path = folder / names.CONFIG_FILE
    path.write_text("{}")
    record = {"path": names.CONFIG_FILE, "size": 2, "sha256": sha256(b"{}").hexdigest()}
    change(folder, "optional_files", value=[record])
    return path


def test_optional_files_may_be_left_out(folder: Path) -> None:
    path = add_optional(folder)
    open_bundle(folder, verify="always")
    path.unlink()
    open_bundle(folder, verify="always")


@pytest.mark.parametrize(("content", "said"), [("[]", "is damaged"), ("{ }", "has 3 bytes, but")])
def test_changed_optional_files_are_found_on_request(folder: Path, content: str, said: str) -> None:
    add_optional(folder).write_text(content)
    open_bundle(folder)
    assert f"config.json {said}" in refusal(folder, verify="always")


def test_an_optional_link_out_of_the_bundle(folder: Path) -> None:
    path = add_optional(folder)
    path.unlink()
    path.symlink_to(folder.parent / "nowhere")
    assert "leaves the bundle" in refusal(folder, verify="always")


def test_a_linked_bundle_and_links_inside_it(folder: Path, tmp_path: Path) -> None:
    path = folder / names.VISION_ENCODER_PTE
    path.rename(folder / "real.pte")
    path.symlink_to("real.pte")
    (tmp_path / "alias").symlink_to(folder)
    assert open_bundle(tmp_path / "alias", verify="always").manifest.recipe == "int8"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("token_embedding", "data_offset"), 10**6, str(TABLE.end + 10)),
        (("token_embedding", "scales_offset"), 10**9, str(TABLE.end + 10)),
        (("token_embedding", "rows"), 383, "383 x 96"),
        (("special_tokens", "image_pad"), 384, "token id 384"),
        (("special_tokens", "video_pad"), -1, "token id -1"),
        (("special_tokens", "im_end"), 400, "token id 400"),
        (("special_tokens", "eos"), [1, 999], "token id 999"),
        (("special_tokens", "eos"), [], "no token that ends"),
        (("special_tokens", "im_end"), None, "no im_end"),
        (("max_context",), 1025, "1024"),
        (("geometry", "vision", "in_channels"), 7, "has in_channels 7, but images have 3"),
    ],
)
def test_contents_that_do_not_fit(folder: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    change(folder, *path, value=value)
    message = refusal(folder)
    assert said in message
    assert names.MANIFEST_FILE in message or names.TEXT_DECODER_PTE in message


def test_the_last_byte_of_the_table_may_be_the_last_of_its_file(folder: Path) -> None:
    change(folder, "token_embedding", "data_offset", value=TABLE.data_offset + 10)
    change(folder, "token_embedding", "scales_offset", value=TABLE.scales_offset + 10)
    open_bundle(folder)


@pytest.mark.parametrize("file", [names.TOKENIZER_FILE, names.CHAT_TEMPLATE_FILE])
def test_files_that_an_app_needs(folder: Path, file: str) -> None:
    manifest = json.loads((folder / names.MANIFEST_FILE).read_text())
    kept = [record for record in manifest["files"] if record["path"] != file]
    change(folder, "files", value=kept)
    assert f"lists no {file}" in refusal(folder)


def test_a_base_model_needs_no_template(folder: Path) -> None:
    (folder / names.CHAT_TEMPLATE_FILE).unlink()
    manifest = json.loads((folder / names.MANIFEST_FILE).read_text())
    change(folder, "files", value=[r for r in manifest["files"] if r["path"] != names.CHAT_TEMPLATE_FILE])
    change(folder, "special_tokens", "im_end", value=None)
    change(folder, "chat", value=False)
    assert not open_bundle(folder).manifest.chat
