"""What cannot be exported is refused before any work, by a sentence that names the file and the value."""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.checkpoint.config import read_config
from pocketvl.export.checkpoint.header import read_header
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import (
    SMALL_GEOMETRY,
    config_json,
    random_tensors,
    write_checkpoint,
    write_weights,
)

WEIGHTS = "model.safetensors"


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder))
    message = str(caught.value)
    assert message.endswith((".", "?")), message
    return message


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


def test_a_missing_shard(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    message = refusal(tmp_path)
    assert "1 of the 3" in message
    assert "model-00002-of-00003.safetensors" in message


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "pytorch_model.bin", 3])
def test_an_index_that_points_elsewhere(tmp_path: Path, name: object) -> None:
    write_checkpoint(tmp_path, shards=2)
    change_json(tmp_path / "model.safetensors.index.json", lambda index: index["weight_map"].update(a=name))
    assert "model.safetensors.index.json" in refusal(tmp_path)


def test_an_index_that_names_a_tensor_which_no_shard_holds(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=2)
    named = {"lm_head.weight": "model-00002-of-00002.safetensors"}
    change_json(tmp_path / "model.safetensors.index.json", lambda index: index["weight_map"].update(named))
    assert "names the tensor lm_head.weight, which no shard holds" in refusal(tmp_path)


def test_weights_as_one_file_and_as_shards(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=2)
    write_weights(tmp_path, random_tensors(SMALL_GEOMETRY, seed=1))
    message = refusal(tmp_path)
    assert "twice, as model.safetensors and as model-00001-of-00002.safetensors" in message
    for shard in tmp_path.glob("model-*"):
        shard.unlink()
    assert open_checkpoint(str(tmp_path)).geometry == SMALL_GEOMETRY  # the index alone is no second model


def test_shards_that_repeat_a_tensor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(
        (tmp_path / "model-00001-of-00002.safetensors").read_bytes()
    )
    assert "model-00001-of-00002.safetensors holds, too" in refusal(tmp_path)


def test_a_missing_tensor(folder: Path) -> None:
    tensors = random_tensors(SMALL_GEOMETRY)
    del tensors["visual.blocks.1.attn.qkv.bias"]
    write_weights(folder, tensors)
    assert "lacks the tensor visual.blocks.1.attn.qkv.bias of shape [192]" in refusal(folder)


@pytest.mark.parametrize(
    "extra",
    [
        {"model.layers.2.mlp.up_proj.weight": torch.ones(160, 96)},
        {"model.layers.1.self_attn.o_proj.bias": torch.ones(96)},
        {"model.layers.1.self_attn.o_proj.bias": torch.zeros(95)},
        {"lm_head.bias": torch.ones(384)},
        {"score.weight": torch.ones(1, 96)},
        {"model.layers.0.self_attn.q_norm.weight": torch.ones(16)},
        {"step": torch.tensor([3])},
        {"rotary_emb.inv_freqs": torch.ones(8)},
    ],
)
def test_tensors_that_would_be_lost(folder: Path, extra: dict[str, torch.Tensor]) -> None:
    write_weights(folder, random_tensors(SMALL_GEOMETRY) | extra)
    message = refusal(folder)
    assert "holds 1 tensors that the model of its config.json does not have" in message
    assert next(iter(extra)) in message


def test_fewer_layers_in_the_config_than_in_the_weights(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config.update(num_hidden_layers=1))
    assert "holds 12 tensors that" in refusal(folder)
    assert "model.layers.1.input_layernorm.weight, " in refusal(folder)


def test_a_tensor_under_both_of_its_names(folder: Path) -> None:
    twice = {"model.language_model.norm.weight": torch.ones(96)}
    write_weights(folder, random_tensors(SMALL_GEOMETRY) | twice)
    assert "model.norm.weight twice, as model.norm.weight and as model.language_model" in refusal(folder)


def test_a_head_of_another_shape_than_the_table(folder: Path) -> None:
    write_weights(folder, random_tensors(SMALL_GEOMETRY) | {"lm_head.weight": torch.ones(380, 96)})
    assert "lm_head.weight has the shape [380, 96]" in refusal(folder)


def test_a_misshapen_tensor(folder: Path) -> None:
    tensors = random_tensors(SMALL_GEOMETRY)
    tensors["model.norm.weight"] = torch.ones(95)
    write_weights(folder, tensors)
    message = refusal(folder)
    assert "model.norm.weight has the shape [95], but config.json asks for [96]" in message


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float64, "F64"), (torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")]
)
def test_other_types(folder: Path, dtype: torch.dtype, name: str) -> None:
    tensors = random_tensors(SMALL_GEOMETRY)
    tensors["model.norm.weight"] = torch.ones(96).to(dtype)
    write_weights(folder, tensors)
    assert f"model.norm.weight has the type {name}" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite(folder: Path, value: float) -> None:
    tensors = random_tensors(SMALL_GEOMETRY)
    tensors["model.layers.0.mlp.up_proj.weight"][7, 5] = value
    write_weights(folder, tensors)
    checkpoint = open_checkpoint(str(folder))
    with pytest.raises(
        CheckpointError, match=r"model\.layers\.0\.mlp\.up_proj\.weight holds NaN or infinite"
    ):
        checkpoint.tensor("model.layers.0.mlp.up_proj.weight")


def test_a_file_that_shrinks_after_opening(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])
    failures = []
    for name in random_tensors(SMALL_GEOMETRY):
        try:
            checkpoint.tensor(name)
        except CheckpointError as error:
            failures.append(str(error))
    assert len(failures) == 1
    assert "it changed while it was read" in failures[0]


def test_an_lfs_pointer(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")
    assert "git lfs pull" in refusal(folder)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_other_length_is_refused(folder: Path, data: st.DataObject) -> None:
    whole = random_file()
    length = data.draw(st.integers(0, 2 * len(whole)).filter(lambda length: length != len(whole)))
    path = folder / "cut.safetensors"
    path.write_bytes((whole + bytes(len(whole)))[:length])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
        read_header(path)


def random_file() -> bytes:
    """A small safetensors file as bytes."""
    return file_of({"a": entry([2, 2], 0, 8), "b": entry([3], 8, 14)}, 14)


def entry(shape: object, begin: object, end: object, dtype: object = "BF16") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file_of(header: object, data: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack("<Q", 2) + b"[]",
        file_of({"a": 3}, 0),
        file_of({"a": []}, 0),
        file_of({"a": {"dtype": "BF16"}}, 0),
        file_of({"a": entry([2], 0, 4, dtype=3)}, 4),
        file_of({"a": entry("2", 0, 4)}, 4),
        file_of({"a": entry([2.0], 0, 4)}, 4),
        file_of({"a": entry([10**4000], 0, 4)}, 4),
        file_of({"a": entry([10**300] * 100, 0, 4)}, 4),
        file_of({"a": entry([2**62] * 10, 0, 4)}, 4),
        file_of({"a": entry([2], 0, 10**4000)}, 4),
        file_of({"a": entry([2], 10**4000, 10**4000 + 4)}, 4),
        file_of({"a": entry([-2], 0, 4)}, 4),
        file_of({"a": entry([2], 0, "4")}, 4),
        file_of({"a": entry([2], 4, 0)}, 4),
        file_of({"a": entry([3], 0, 4)}, 4),  # shape and bytes disagree
        file_of({"a": entry([2], 0, 4), "b": entry([2], 2, 6)}, 6),  # overlap
        file_of({"a": entry([2], 0, 4), "b": entry([2], 6, 10)}, 10),  # gap
        file_of({"a": entry([2], 2, 6)}, 6),  # gap at the start
        struct.pack("<Q", 118) + b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},'
        b'"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}' .ljust(63) + bytes(4),
    ],
)  # fmt: skip
def test_files_that_are_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_header(path)


def test_a_sound_header(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(random_file())
    stored = read_header(path)
    assert stored["b"].shape == (3,)
    assert stored["b"].offset + stored["b"].size == path.stat().st_size


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_packed_layers_without_their_settings(folder: Path) -> None:
    packed = {"model.layers.0.self_attn.q_proj.qweight": torch.ones(12, 96, dtype=torch.int32)}
    write_weights(folder, random_tensors(SMALL_GEOMETRY) | packed)
    assert "no quantization_config that says how" in refusal(folder)
