"""GPTQ checkpoints that cannot be read as they are meant are refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pocketvl.export.checkpoint import open_checkpoint
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.packed_checkpoints import (
    WEIGHTS,
    Scheme,
    change_config,
    change_tensors,
    write_packed_checkpoint,
)
from tests.support.refusals import refusal

SYMMETRIC = Scheme(zero=8)


def test_biases_of_zeros_are_left_out(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC, zero_biases=True)
    open_checkpoint(str(tmp_path))
    bias = "model.layers.1.mlp.down_proj.bias"
    change_tensors(tmp_path, lambda tensors: tensors[bias].fill_(0.5))
    assert f"{bias} is not zero" in refusal(tmp_path)


def test_activation_order_is_refused(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, Scheme(zero=8, act_order=True))
    message = refusal(tmp_path)
    assert "model.layers.0.self_attn.q_proj.g_idx" in message
    assert "desc_act=False" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rotation", "hadamard"),
        ("online_rotation", True),
        ("hadamard_group_size", 128),
        ("transform_config", {"config_groups": {"R3": {"type": "hadamard"}}}),
        ("SpinQuant", {"r4": True}),
    ],
)
def test_rotations_while_the_model_runs(tmp_path: Path, key: str, value: object) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    change_config(tmp_path, **{key: value})
    assert f"{key!r} says that activations are rotated while the model runs" in refusal(tmp_path)


def test_a_rotation_that_is_switched_off(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    change_config(tmp_path, rotation=None, transform_config={})
    assert open_checkpoint(str(tmp_path)).packing == "gptq"


@pytest.mark.parametrize("kind", ["qweight", "qzeros", "scales", "g_idx"])
def test_a_missing_tensor(tmp_path: Path, kind: str) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.1.self_attn.k_proj.{kind}"
    change_tensors(tmp_path, lambda tensors: tensors.pop(name))
    assert f"lacks the tensor {name} of shape" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["qweight", "qzeros", "scales", "g_idx"])
def test_a_misshapen_tensor(tmp_path: Path, kind: str) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.1.self_attn.k_proj.{kind}"
    change_tensors(tmp_path, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    assert f"the tensor {name} has the shape" in refusal(tmp_path)


@pytest.mark.parametrize(("kind", "dtype"), [("qweight", torch.int64), ("scales", torch.int32)])
def test_a_tensor_of_another_type(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.0.mlp.up_proj.{kind}"
    change_tensors(tmp_path, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert f"the tensor {name} has the type I" in refusal(tmp_path)


def test_scales_that_are_not_finite(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = "model.layers.0.mlp.up_proj.scales"
    change_tensors(tmp_path, lambda tensors: tensors[name][0, 3].fill_(torch.nan))
    assert f"{name} holds NaN" in refusal(tmp_path)


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-5])
    assert "cut short" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bits": 3}, "weights of 3 bits cannot be read, only of 4 or 8"),
        ({"bits": "4"}, "'bits' must be a whole number"),
        ({"bits": 8}, "model.layers.0.self_attn.q_proj.qweight has the shape [12, 96]"),
        ({"group_size": 64}, "q_proj.qzeros has the shape [3, 12], but config.json asks for [2, 12]"),
        ({"group_size": 0}, "must be -1 or positive, not 0"),
        ({"group_size": None}, "lacks the key 'group_size'"),
        ({"checkpoint_format": "marlin"}, "'marlin' cannot be read"),
        ({"pack_dtype": "int8"}, "'pack_dtype' is 'int8'"),
        ({"dynamic": {"+:.*down.*": {"bits": 8}}}, "'dynamic' gives the layers '+:.*down.*'"),
        ({"quant_method": "auto-round"}, "packing_format 'auto_round' cannot be read"),
    ],
)
def test_other_configs(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    change_config(tmp_path, **values)
    message = refusal(tmp_path)
    assert said in message
    assert message.endswith((".", "?"))


def test_packed_layers_without_a_word_in_the_config(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["quantization_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "has no quantization_config that says how" in refusal(tmp_path)


def test_layers_left_in_float_by_dynamic_rules(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    change_config(tmp_path, dynamic={"-:.*visual.*": {}})
    assert open_checkpoint(str(tmp_path)).fixed_bits


def test_a_config_without_packed_layers(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, SMALL_GEOMETRY)
    config = json.loads((tmp_path / "config.json").read_text())
    quantization = {"quantization_config": SYMMETRIC.config()}
    (tmp_path / "config.json").write_text(json.dumps(config | quantization))
    assert "none of its layers is packed" in refusal(tmp_path)


def test_sizes_that_cannot_be_packed(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 161}))
    assert "gate_proj cannot be packed as its config.json says: 161 outputs" in refusal(tmp_path)
