"""The dtypes that config.json names for transformers.js."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pocketvl.runtime.engines.onnx.variants import SUFFIXES, check_variants
from pocketvl.runtime.errors import BundleError

SESSIONS = ("embed_tokens", "decoder_model_merged", "vision_encoder")


def write(folder: Path, suffix: str, settings: Any) -> Path:
    """A model folder of transformers.js with one data file a graph."""
    (folder / "config.json").write_text(json.dumps({"transformers.js_config": settings}), encoding="utf-8")
    for session in SESSIONS:
        file = f"{session}{suffix}.onnx"
        (folder / "onnx" / file).parent.mkdir(exist_ok=True)
        (folder / "onnx" / file).write_bytes(b"graph")
        (folder / "onnx" / f"{file}_data").write_bytes(bytes(48))
    return folder


@pytest.mark.parametrize("dtype", SUFFIXES)
def test_all_dtypes_of_transformers_js_pass(tmp_path: Path, dtype: str) -> None:
    settings = {"dtype": dtype, "use_external_data_format": True}
    check_variants(write(tmp_path, SUFFIXES[dtype], settings))


@pytest.mark.parametrize(
    "external",
    [True, 1, 2, dict.fromkeys(SESSIONS, 1), {f"{session}_q4.onnx": True for session in SESSIONS}],
)
def test_data_files_may_be_counted_in_all_ways(tmp_path: Path, external: Any) -> None:
    settings = {"dtype": dict.fromkeys(SESSIONS, "q4"), "use_external_data_format": external}
    write(tmp_path, "_q4", settings)
    if external == 2:
        for session in SESSIONS:
            (tmp_path / f"onnx/{session}_q4.onnx_data_1").touch()
    check_variants(tmp_path)


@pytest.mark.parametrize("dtype", [None, "auto", {"another": "q4"}])
def test_nothing_named_means_fp32(tmp_path: Path, dtype: Any) -> None:
    check_variants(write(tmp_path, "", {"dtype": dtype, "use_external_data_format": True}))


def test_an_app_may_leave_out_what_transformers_js_reads(tmp_path: Path) -> None:
    check_variants(tmp_path)


@pytest.mark.parametrize("dtype", ["q5", "Q4", "", 4, {"vision_encoder": "q5"}, {"embed_tokens": ["q4"]}])
def test_an_unknown_dtype_is_refused(tmp_path: Path, dtype: Any) -> None:
    settings = {"dtype": dtype, "use_external_data_format": True}
    with pytest.raises(BundleError, match=r"names the dtype .* but transformers\.js knows fp32, fp16"):
        check_variants(write(tmp_path, "", settings))


@pytest.mark.parametrize("file", ["vision_encoder_q4.onnx", "embed_tokens_q4.onnx_data"])
def test_a_missing_file_is_named_with_its_dtype(tmp_path: Path, file: str) -> None:
    write(tmp_path, "_q4", {"dtype": "q4", "use_external_data_format": True})
    (tmp_path / "onnx" / file).unlink()
    with pytest.raises(BundleError, match=rf"dtype q4 for \w+, but .*{file} is missing"):
        check_variants(tmp_path)


@pytest.mark.parametrize("dtype", ["fp32", "q4f16"])
def test_a_dtype_of_another_export_is_refused(tmp_path: Path, dtype: str) -> None:
    settings = {"dtype": dtype, "use_external_data_format": True}
    with pytest.raises(BundleError, match=f"names the dtype {dtype} for embed_tokens"):
        check_variants(write(tmp_path, "_q4", settings))


@pytest.mark.parametrize("external", [None, False, 0, {}])
def test_data_that_transformers_js_would_not_load_are_refused(tmp_path: Path, external: Any) -> None:
    settings = {"dtype": "q4", "use_external_data_format": external}
    with pytest.raises(BundleError, match=r"onnx_data is left out by use_external_data_format"):
        check_variants(write(tmp_path, "_q4", settings))


@pytest.mark.parametrize("external", ["yes", -1, 101, 1.5, [1], {"embed_tokens": "1"}])
def test_an_impossible_number_of_data_files_is_refused(tmp_path: Path, external: Any) -> None:
    settings = {"dtype": "q4", "use_external_data_format": external}
    with pytest.raises(BundleError, match="neither true, false nor a number"):
        check_variants(write(tmp_path, "_q4", settings))


DAMAGED = {
    **dict.fromkeys(["{", "[" * 200_000, "9" * 5000], "is not valid JSON"),
    **dict.fromkeys(["[]", "null", "{}", '{"transformers.js_config": 1}'], "has no object"),
    "\xff": "cannot be read",
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.items())
def test_a_damaged_config_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(BundleError, match=rf"config\.json {reason}"):
        check_variants(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "onnx", "onnx/embed_tokens_q4.onnx_data"])
def test_links_out_of_the_bundle_are_refused(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    write(folder, "_q4", {"dtype": "q4", "use_external_data_format": True})
    (folder / file).rename(tmp_path / "elsewhere")
    (folder / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="leaves the bundle"):
        check_variants(folder)


@pytest.mark.parametrize(
    "file", ["config.json", "onnx/embed_tokens_q4.onnx", "onnx/embed_tokens_q4.onnx_data"]
)
def test_pipes_are_not_opened(tmp_path: Path, file: str) -> None:
    write(tmp_path, "_q4", {"dtype": "q4", "use_external_data_format": True})
    (tmp_path / file).unlink()
    os.mkfifo(tmp_path / file)
    with pytest.raises(BundleError, match=f"{file} is no regular file"):
        check_variants(tmp_path)


@pytest.mark.parametrize("target", ["/dev/zero", "config.json"])
def test_a_config_that_never_ends_is_not_read(tmp_path: Path, target: str) -> None:
    (tmp_path / "config.json").symlink_to(target)
    with pytest.raises(BundleError, match=r"config\.json is (missing|a link)"):
        check_variants(tmp_path)
