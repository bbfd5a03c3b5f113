"""Weight files that are incomplete, contradictory or hold what cannot be exported are refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import (
    SMALL_GEOMETRY,
    random_tensors,
    write_checkpoint,
    write_weights,
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


def test_packed_layers_without_their_settings(folder: Path) -> None:
    packed = {"model.layers.0.self_attn.q_proj.qweight": torch.ones(12, 96, dtype=torch.int32)}
    write_weights(folder, random_tensors(SMALL_GEOMETRY) | packed)
    assert "no quantization_config that says how" in refusal(folder)
