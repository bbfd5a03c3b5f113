"""What cannot be exported is refused before any work, by a sentence that names the file and the value."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.checkpoint.config import read_config
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import (
    SMALL_GEOMETRY,
    config_json,
    write_checkpoint,
)
from tests.support.refusals import refusal

WEIGHTS = "model.safetensors"


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("qwen2_5_vl", "Qwen2.5-VL"),
        ("qwen3_vl", "Qwen3-VL"),
        ("qwen3_vl_moe", "Qwen3-VL-MoE"),
        ("qwen2", "text only"),
        ("llama", "'llama'"),
        (None, "model_type ''"),
    ],
)
def test_other_models(folder: Path, model_type: str | None, said: str) -> None:
    change_json(folder / "config.json", lambda config: config.update(model_type=model_type))
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "lacks the key 'bits'"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "'bitsandbytes'"),
        ({"quantization_config": {"load_in_8bit": True}}, "'bitsandbytes' are not supported"),
        ({"quantization_config": {"quant_method": "fp8"}}, "'fp8' are not supported, only 'gptq', 'awq'"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "'compressed-tensors'"),
        ({"compression_config": {"format": "int-quantized"}}, "'compressed-tensors'"),
        ({"text_config": {"quantization_config": {"quant_method": "hqq"}}}, "'hqq'"),
        ({"quantization_config": []}, "'quantization_config' must be an object"),
        ({"quantization_config": {"bits": 4}}, "'an unnamed method'"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"rope_scaling": None}, "lacks mrope_section"),
        ({"rope_scaling": {"type": "yarn", "mrope_section": [2, 3, 3]}}, "'yarn'"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [2, 3]}}, "three positive numbers"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 4]}}, "half of head_dim 16"),
        ({"hidden_size": 90}, "not valid"),
        ({"hidden_size": "96"}, "'hidden_size' must be a whole number, not \"96\""),
        ({"hidden_size": True}, "must be a whole number"),
        ({"num_attention_heads": 0}, "0 heads"),
        ({"num_key_value_heads": 4}, "do not divide"),
        ({"num_hidden_layers": 0}, "num_layers must be at least 1"),
        ({"rms_norm_eps": 0}, "must be positive"),
        ({"rope_theta": "big"}, "'rope_theta' must be a number"),
        ({"vision_config": []}, "'vision_config' must be an object"),
        ({"vision_config": {"hidden_size": 64}}, "vision output size 64"),
        ({"vision_config": {"hidden_size": 96, "hidden_act": "silu"}}, "'quick_gelu' only"),
        ({"vision_config": {"hidden_size": 96, "mlp_ratio": 1e308}}, "mlp_ratio"),
        ({"vision_config": {"embed_dim": 10**400}}, "'embed_dim' must be a whole number"),
        ({"rope_theta": 10**400}, "'rope_theta' must be a number"),
        ({"tie_word_embeddings": "yes"}, "true or false"),
        ({"tie_word_embeddings": False}, "lacks the tensor lm_head.weight of shape [384, 96]"),
        ({"image_token_id": 5}, "<|image_pad|>"),
        ({"num_hidden_layers": 3}, "lacks the tensor model.layers.2."),
        ({"intermediate_size": 192}, "[160, 96], but config.json asks for [192, 96]"),
        ({"eos_token_id": "x"}, "'eos_token_id'"),
        ({"num_hidden_layers": 10**9}, "num_layers is 1000000000, but must not be more than 1024"),
        ({"vocab_size": 2**40}, "vocab_size is 1099511627776, but must not be more than"),
        ({"vision_config": {"hidden_size": 96, "depth": 10**9}}, "depth is 1000000000, but must not be more"),
        ({"head_dim": 32}, "head_dim 32 is not hidden_size / heads, 16"),
        ({"num_attention_heads": 3, "num_key_value_heads": 1}, "must sum to half of head_dim 32"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"architectures": ["Qwen2VLForSequenceClassification"]}, "'architectures' is ['Qwen2VLForSeq"),
        ({"text_config": {"hidden_size": 128}}, "'hidden_size' is 96 at the top, but 128 in text_config"),
        (
            {"vision_config": {"hidden_size": 96, "rope_parameters": {"rope_theta": 5e5}}},
            "'rope_theta' is 500000; pocketvl exports 10000 only",
        ),
    ],
)
def test_configs(folder: Path, changes: dict[str, Any], said: str) -> None:
    change_json(folder / "config.json", lambda config: config.update(changes))
    assert said in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00", "[" * 100_000])
def test_unreadable_configs(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("preprocessor_config.json", {"min_pixels": 0}, "min_pixels 0"),
        ("preprocessor_config.json", {"min_pixels": 9, "max_pixels": 8}, "min_pixels 9"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, "three numbers"),
        ("preprocessor_config.json", {"image_std": [0.5, 0, 0.5]}, "must be positive"),
        ("preprocessor_config.json", {"patch_size": 16}, "'patch_size' is 16"),
        ("preprocessor_config.json", {"resample": 0}, "'resample' is 0"),
        ("preprocessor_config.json", {"rescale_factor": 1.0}, "rescale_factor"),
        ("generation_config.json", {"do_sample": True, "temperature": 0}, "'temperature' must be positive"),
        ("preprocessor_config.json", {"do_resize": False}, "'do_resize' is False"),
        ("preprocessor_config.json", {"do_convert_rgb": False}, "'do_convert_rgb' is False"),
        ("preprocessor_config.json", {"do_pad": True}, "'do_pad' asks for a step"),
        ("preprocessor_config.json", {"crop_size": {"height": 224}}, "'crop_size' asks for a step"),
        ("preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"}, "'CLIPImageProcessor'"),
        ("preprocessor_config.json", {"size": {"height": 224, "width": 224}}, "size has 'height'"),
        ("preprocessor_config.json", {"max_pixels": 2**40 + 1}, "'max_pixels' must be a whole number"),
        ("generation_config.json", {"do_sample": True, "top_p": 1.5}, "top_p must lie above 0"),
        ("generation_config.json", {"do_sample": True, "top_p": 0}, "top_p must lie above 0"),
        ("generation_config.json", {"do_sample": True, "top_k": -2}, "top_k must be 0 (no limit) or more"),
        (
            "generation_config.json",
            {"do_sample": True, "temperature": 1e999},
            "'temperature' must be a number",
        ),
        ("generation_config.json", {"repetition_penalty": -1}, "repetition_penalty must be above 0"),
        ("generation_config.json", {"eos_token_id": [384]}, "384"),
        ("generation_config.json", {"eos_token_id": [383]}, "383, which no token of tokenizer.json has"),
        ("generation_config.json", {"pad_token_id": 384}, "384, which lies outside the vocabulary of 384"),
        ("config.json", {"pad_token_id": 151643}, "151643, which lies outside the vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": 384}}}, "384, which lies outside the vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": -1}}}, "-1, which lies outside the vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": "b"}}}, "must give each token a whole number"),
        ("tokenizer.json", {"model": {"vocab": [["a", 0.5]]}}, "must give each token a whole number"),
        ("tokenizer.json", {"added_tokens": None}, "not a tokenizer"),
        ("tokenizer.json", {"added_tokens": [{"id": 3}]}, "lacks the key 'content'"),
        ("tokenizer.json", {"added_tokens": []}, "<|image_pad|>"),
    ],
)
def test_settings_files(folder: Path, file: str, changes: dict[str, Any], said: str) -> None:
    change_json(folder / file, lambda value: value.update(changes))
    assert said in refusal(folder)


def test_two_files_that_prepare_images_differently(folder: Path) -> None:
    processor = {"image_processor": {"image_mean": [0.5, 0.5, 0.5]}}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    assert "in preprocessor_config.json, but [0.5, 0.5, 0.5] in processor_config.json" in refusal(folder)


def test_template_list_without_a_default(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text('{"chat_template": [{"name": "rag", "template": "x"}]}')
    assert "'default'" in refusal(folder)


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json", WEIGHTS])
def test_missing_files(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert f"no {file}" in refusal(folder) or f"neither {file}" in refusal(folder)


def test_pickles(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert "pickles (pytorch_model.bin)" in refusal(folder)


def test_an_adapter(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.safetensors")
    assert "LoRA adapter" in refusal(folder)
    assert "--lora" in refusal(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(["top", "vision_config", "rope_scaling"]),
    data=st.data(),
    value=st.one_of(
        st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(), st.text(max_size=4),
        st.lists(st.integers(-2, 9), max_size=4), st.just(10**400), st.just(1e308), st.just({"a": 1}),
    ),
)  # fmt: skip
def test_no_value_in_config_breaks_the_reader(
    tmp_path: Path, where: str, data: st.DataObject, value: object
) -> None:
    """Whatever stands there, the answer is a config or a CheckpointError, never another exception."""
    config = config_json(SMALL_GEOMETRY, nested=False)
    owner = config if where == "top" else config[where]
    owner[data.draw(st.sampled_from(sorted(owner)))] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with suppress(CheckpointError):
        assert read_config(tmp_path, has_lm_head=False).geometry.vision.depth > 0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nothing-here", "does not exist"),
        ("./nothing/here/at-all", "does not exist"),
        ("a/b/c", "does not exist"),
    ],
)
def test_models_that_are_nowhere(model: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(model)


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="give the folder that holds it"):
        open_checkpoint(str(folder / WEIGHTS))
