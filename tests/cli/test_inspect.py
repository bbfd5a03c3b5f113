"""`pocketvl inspect`: what it says about files, and what it compares."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvl.cli import inspect
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import write_manifest
from pocketvl.runtime.bundle.open import Bundle
from tests.support.command_line import run
from tests.support.manifests import write_small_bundle


@pytest.fixture
def folder(small_onnx_bundle: Bundle, tmp_path: Path) -> Path:
    """One that may be damaged."""
    shutil.copytree(small_onnx_bundle.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_every_file_but_the_card_has_a_hash(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "inspect", folder, "--check")
    assert status == 0
    assert out.rstrip().endswith("files checked, all equal\nwithout a hash in the manifest: README.md")
    assert "missing" not in out


def test_files_of_others_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "onnx" / "notes[b].txt").write_text("mine")
    _, out, _ = run(capsys, "inspect", folder, "--check")
    assert out.rstrip().endswith("without a hash in the manifest: README.md, onnx/notes[b].txt")


@pytest.mark.parametrize("file", ["onnx/embed_tokens.onnx_data", "onnx/vision_encoder.onnx", "config.json"])
def test_changed_files_of_transformers_js_are_found(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert run(capsys, "inspect", folder)[0] == 0
    status, _, err = run(capsys, "inspect", folder, "--check")
    assert status == 1
    assert f"{file} is damaged" in err


def test_an_app_may_leave_out_what_transformers_js_reads(
    small_onnx_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in small_onnx_bundle.manifest.optional_files:
        (folder / record.path).unlink()
    status, out, _ = run(capsys, "inspect", folder, "--check")
    assert status == 0
    missing = [record.path for record in small_onnx_bundle.manifest.optional_files]
    squeezed = "".join(out.split())  # lines are wrapped anywhere
    assert f"missing, which only transformers.js needs: {', '.join(missing)}".replace(" ", "") in squeezed
    assert (
        f"hashes of manifest.json and {len(small_onnx_bundle.manifest.files)} files checked, all equal" in out
    )
    assert f"{missing[0]}(optional,missing)" in squeezed
    status, out, _ = run(capsys, "inspect", folder, "--json")
    assert json.loads(out)["missing_optional_files"] == missing
    status, out, _ = run(capsys, "ask", folder, "What is this?", "--max-tokens", 2)
    assert status == 0


def test_markup_in_a_manifest_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = replace(write_small_bundle(tmp_path), recipe="[/x]")
    write_manifest(manifest, tmp_path / names.MANIFEST_FILE)
    status, out, _ = run(capsys, "inspect", tmp_path)
    assert status == 0
    assert "recipe [/x]" in out


def test_this_machines_kernels_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "cpu_features", lambda: frozenset({"avx2", "avx_vnni"}))
    status, out, _ = run(capsys, "inspect", folder, "--json")
    report = json.loads(out)
    assert (status, report["cpu_features"]) == (0, ["avx2", "avx_vnni"])
    assert report["cpu_kernels"] is None  # a bundle of floats
    manifest = json.loads((folder / names.MANIFEST_FILE).read_text())
    assert {group["bits"] for group in manifest["layers"]} == {32}
    assert "this CPU has avx2, avx_vnni\n" in run(capsys, "inspect", folder)[1]
