"""A whole bundle, and what is refused before any work."""

import sys
from dataclasses import replace

import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.layer_plan import resolve
from pocketvl.export.onnx.target import ONNX
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import MissingExtraError, UsageError
from tests.support.checkpoints import SMALL_GEOMETRY

SETTINGS = ExportSettings(buckets=(16, 64), max_context=96, prefill_chunk=32)
INT4 = named_recipe("int4")


def test_the_manifest_lists_what_our_runtime_reads(int4_bundle: Bundle) -> None:
    bundle = int4_bundle
    manifest = bundle.manifest
    assert manifest.target == names.ONNX
    assert {entry.name: entry.file for entry in manifest.entry_points} == {
        names.VISION_ENCODER: names.HOST_VISION_ENCODER,
        names.TEXT_DECODER: names.HOST_TEXT_DECODER,
        names.LM_HEAD: names.HOST_LM_HEAD,
    }
    assert {record.path for record in manifest.files if record.path.startswith("onnx/")} == {
        names.HOST_VISION_ENCODER,
        names.HOST_TEXT_DECODER,
        names.HOST_LM_HEAD,
        "onnx/decoder_model_merged_q4.onnx_data",
        "onnx/vision_encoder_int8.onnx_data",
    }
    assert [record.path for record in manifest.optional_files] == [
        "config.json",
        "generation_config.json",
        "onnx/decoder_model_merged_q4.onnx",
        "onnx/embed_tokens_int8.onnx",
        "onnx/embed_tokens_int8.onnx_data",
        "onnx/vision_encoder_int8.onnx",
        "preprocessor_config.json",
        "tokenizer_config.json",
    ]
    listed = {record.path for record in (*manifest.files, *manifest.optional_files)}
    present = (path for path in bundle.folder.rglob("*") if path.is_file())
    unlisted = {path.relative_to(bundle.folder).as_posix() for path in present} - listed
    assert unlisted == {names.MANIFEST_FILE, names.MANIFEST_HASH_FILE, names.MODEL_CARD}
    assert manifest.token_embedding.file == "onnx/decoder_model_merged_q4.onnx_data"
    assert set(manifest.provenance.tools) == {"torch", "onnx", "onnxscript"}


def test_chunks_are_core_mls() -> None:
    with pytest.raises(UsageError, match="--decoder-packages"):
        ONNX.check(replace(SETTINGS, decoder_chunks=2), resolve(INT4, SMALL_GEOMETRY))


def test_a_width_that_no_block_divides_is_refused() -> None:
    vision = replace(SMALL_GEOMETRY.vision, output_size=100)
    geometry = replace(SMALL_GEOMETRY, vision=vision, text=replace(SMALL_GEOMETRY.text, hidden_size=100))
    with pytest.raises(UsageError, match="hidden size 100 is not a multiple of 16"):
        ONNX.check(SETTINGS, resolve(named_recipe("int8"), geometry))


def test_missing_packages_name_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[export\]'"):
        ONNX.check(SETTINGS, resolve(INT4, SMALL_GEOMETRY))
