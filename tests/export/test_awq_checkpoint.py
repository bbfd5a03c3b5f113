"""AWQ checkpoints: their zero points cannot stand on the phone, so the recipe quantizes their floats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.export.weights import Requantizer, fill
from pocketvl.quant.packed.weight_error import WeightError
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Precision, Recipe, named_recipe
from tests.support.checkpoints import Layout, write_weights
from tests.support.packed_checkpoints import Scheme, write_packed_checkpoint
from tests.support.refusals import refusal

AWQ = Scheme("awq")


@pytest.mark.parametrize("layout", ["hub", "transformers5"])
@pytest.mark.parametrize("scheme", [AWQ, Scheme("awq", group_size=-1)])
def test_weights(tmp_path: Path, layout: Layout, scheme: Scheme) -> None:
    written = write_packed_checkpoint(tmp_path, scheme, layout=layout)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "awq"
    assert checkpoint.fixed_bits == {}
    assert len(checkpoint.requantized) == len(written.layers)
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name


def test_equal_zero_points_in_the_middle_stand(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, Scheme("awq", zero=8))
    checkpoint = open_checkpoint(str(tmp_path))
    assert set(checkpoint.fixed_bits.values()) == {Precision(4, 32)}
    quantized = checkpoint.quantized("text_decoder.layers.0.k_proj")
    assert quantized is not None
    assert np.array_equal(quantized.integers, written.layers["model.layers.0.self_attn.k_proj"].codes - 8)


def filled_decoder(source: Any, recipe: Recipe) -> tuple[TextDecoder, list[WeightError]]:
    """And what quantizing layers again cost."""
    plan = resolve(recipe, source.geometry, source)
    requantizer = Requantizer(source, source.requantized, plan)
    decoder = TextDecoder(plan, 8)
    fill(decoder, requantizer, plan.method)
    return decoder, requantizer.weight_errors


@pytest.mark.parametrize("method", ["rtn", "hqq"])
def test_the_recipe_decides_and_the_weight_error_is_measured(tmp_path: Path, method: str) -> None:
    written = write_packed_checkpoint(tmp_path, AWQ)
    checkpoint = open_checkpoint(str(tmp_path))
    decoder, weight_errors = filled_decoder(checkpoint, named_recipe("int4", method))
    layer = "text_decoder.layers.1.down_proj"
    weight = written.tensors["model.layers.1.mlp.down_proj.weight"]
    wanted = quantize_linear(weight, Precision(4, 32), method, layer)
    stored = decoder.layers[1].after.down.weight
    assert torch.equal(stored.qdata, torch.from_numpy(wanted.integers))
    found = {one.layer: one.relative_error for one in weight_errors}
    sources = {layer.name: layer.source for layer in linear_layers(written.geometry)}
    assert found.keys() == {layer for layer in sources if sources[layer] in written.layers}
    error = np.linalg.norm(wanted.dequantize() - weight.numpy()) / np.linalg.norm(weight.numpy())
    assert found[layer] == pytest.approx(error, rel=1e-5)
    assert 0.01 < found[layer] < 0.2


def test_a_checkpoint_of_floats_has_no_weight_errors() -> None:
    _, weight_errors = filled_decoder(open_checkpoint("tiny"), named_recipe("int4"))
    empty: list[WeightError] = []
    assert weight_errors == empty


@pytest.mark.parametrize("kind", ["qweight", "qzeros", "scales"])
def test_a_missing_tensor(tmp_path: Path, kind: str) -> None:
    write_packed_checkpoint(tmp_path, AWQ)
    name = f"model.layers.0.mlp.gate_proj.{kind}"
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[name]
    write_weights(tmp_path, tensors)
    assert f"lacks the tensor {name} of shape" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"version": "gemv"}, "the layout 'gemv' cannot be read"),
        ({"version": "gemv_fast"}, "the layout 'gemv_fast' cannot be read"),
        ({"bits": 8}, "weights of 8 bits cannot be read, only of 4"),
        ({"group_size": 64}, "cannot be packed as its config.json says"),
        ({"group_size": 16}, "q_proj.qzeros has the shape [3, 12], but config.json asks for [6, 12]"),
    ],
)
def test_other_configs(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    write_packed_checkpoint(tmp_path, AWQ)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] |= values
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert said in refusal(tmp_path)


def test_the_older_names_of_the_settings(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, AWQ)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "awq",
        "w_bit": 4,
        "q_group_size": 32,
        "zero_point": True,
        "version": "GEMM",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(str(tmp_path)).packing == "awq"
