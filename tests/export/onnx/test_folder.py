"""The JSON files of a transformers.js folder, read back by transformers and by our own reader."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.checkpoint.config import read_config
from pocketvl.export.component import ExportSettings
from pocketvl.export.onnx.folder import model_config, write_folder_files
from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.errors import CheckpointError, ExportError
from tests.support.checkpoints import CHAT_TEMPLATE, SMALL_GEOMETRY, write_checkpoint

GRAPHS = ("decoder_model_merged_q4", "vision_encoder_int8", "embed_tokens_int8")
SETTINGS = ExportSettings(buckets=(16, 64))


def write(
    tmp_path: Path, model: Path | str, graphs: tuple[str, ...] = GRAPHS, **limits: int
) -> dict[str, dict[str, Any]]:
    """The written files by name; the graphs beside them are empty."""
    onnx = tmp_path / "out" / "onnx"
    onnx.mkdir(parents=True)
    for graph in graphs:
        (onnx / f"{graph}.onnx").touch()
        (onnx / f"{graph}.onnx_data").touch()
    checkpoint = open_checkpoint(str(model))
    write_folder_files(tmp_path / "out", checkpoint, replace(checkpoint.image, **limits), SETTINGS)
    return {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "small")
    return tmp_path / "small"


def test_sessions(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, model)["config.json"]
    assert config["transformers.js_config"] == {
        "dtype": {
            "embed_tokens": "int8",
            "decoder_model_merged": "q4",
            "vision_encoder": "int8",
        },
        "use_external_data_format": {f"{graph}.onnx": 1 for graph in GRAPHS},
    }


def test_float_graphs_without_a_suffix(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, model, ("decoder_model_merged", "vision_encoder", "embed_tokens"))["config.json"]
    assert set(config["transformers.js_config"]["dtype"].values()) == {"fp32"}


@pytest.mark.parametrize("graphs", [GRAPHS[:2], (*GRAPHS, "vision_encoder")])
def test_each_session_needs_one_graph(tmp_path: Path, model: Path, graphs: tuple[str, ...]) -> None:
    with pytest.raises(ExportError, match=f"holds {len(graphs) - 2} graphs"):
        write(tmp_path, model, graphs)


@pytest.mark.parametrize("tied", [True, False])
def test_our_reader_finds_the_same_model(tmp_path: Path, tied: bool) -> None:
    geometry = write_checkpoint(tmp_path / "small", tied=tied)
    write(tmp_path, tmp_path / "small")
    ours = open_checkpoint(str(tmp_path / "small"))
    config = read_config(tmp_path / "out", has_lm_head=False)
    assert config.geometry == geometry
    tokens = ours.special_tokens
    assert (config.image_pad, config.video_pad) == (tokens.image_pad, tokens.video_pad)
    assert (config.vision_start, config.vision_end) == (tokens.vision_start, tokens.vision_end)


@pytest.mark.parametrize("ratio", [2, 2.5])
def test_any_width_of_the_vision_feed_forward(ratio: float) -> None:
    vision = replace(SMALL_GEOMETRY.vision, intermediate_size=int(64 * ratio))
    tokens = SpecialTokens(1, 2, 3, 4, (5,), None)
    config = model_config(replace(SMALL_GEOMETRY, vision=vision), tokens)["vision_config"]
    assert int(config["embed_dim"] * config["mlp_ratio"]) == config["intermediate_size"] == int(64 * ratio)


def test_transformers_reads_the_same_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write(tmp_path, "tiny")
    folder, out = open_checkpoint("tiny").folder, tmp_path / "out"
    given, written = (transformers.AutoConfig.from_pretrained(path) for path in (folder, out))
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    for key in (*kept, "num_key_value_heads", "rms_norm_eps", "max_position_embeddings"):
        assert getattr(written.text_config, key) == getattr(given.text_config, key), key
    for key in ("rope_theta", "mrope_section"):
        assert written.text_config.rope_parameters[key] == given.text_config.rope_parameters[key], key
    for key in ("depth", "embed_dim", "hidden_size", "mlp_ratio", "num_heads", "spatial_merge_size"):
        assert getattr(written.vision_config, key) == getattr(given.vision_config, key), key
    assert (written.image_token_id, written.tie_word_embeddings) == (given.image_token_id, True)
    stops = [
        transformers.GenerationConfig.from_pretrained(path).eos_token_id
        for path in (folder, tmp_path / "out")
    ]
    assert stops[0] == stops[1]


def test_image_settings_name_every_step(tmp_path: Path, model: Path) -> None:
    settings = write(tmp_path, model, min_pixels=4000, max_pixels=8000)["preprocessor_config.json"]
    assert (settings["min_pixels"], settings["max_pixels"]) == (4000, 8000)
    assert all(settings[step] for step in ("do_convert_rgb", "do_resize", "do_rescale", "do_normalize"))
    assert settings["resample"] == 3
    assert settings["processor_class"] == "Qwen2VLProcessor"


def test_the_largest_bucket_bounds_images(tmp_path: Path, model: Path) -> None:
    settings = write(tmp_path, model, min_pixels=20_000)["preprocessor_config.json"]
    assert (settings["min_pixels"], settings["max_pixels"]) == (64 * 14**2, 64 * 14**2)


def test_the_template_stands_in_the_tokenizer_config(tmp_path: Path, model: Path) -> None:
    (model / "tokenizer_config.json").write_text('{"model_max_length": 77, "chat_template": "old"}')
    config = write(tmp_path, model)["tokenizer_config.json"]
    assert config == {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 77,
        "chat_template": CHAT_TEMPLATE,
    }


def test_a_base_model_has_no_template(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", chat=False)
    assert "chat_template" not in write(tmp_path, tmp_path / "base")["tokenizer_config.json"]


def test_generation_settings_are_the_checkpoints(tmp_path: Path, model: Path) -> None:
    given = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**given, "temperature": 0.25}))
    written = write(tmp_path, model)["generation_config.json"]
    assert written == {**given, "temperature": 0.25}


def test_a_broken_file_of_the_checkpoint(tmp_path: Path, model: Path) -> None:
    (model / "tokenizer_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json must hold a JSON object"):
        write(tmp_path, model)
