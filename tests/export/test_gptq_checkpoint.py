"""GPTQ checkpoints: their integers reach the bundle unchanged, and what cannot is said."""

import dataclasses
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pocketvl.evaluate.reference import Reference
from pocketvl.export import pipeline
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.executorch.census import read_pte, scale_bytes, stored_weights
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.export.modules import LMHead
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.target import ExportInputs
from pocketvl.export.targets import target_for
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Precision, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.positions import text_rope
from tests.support import exporters
from tests.support.bundles import SETTINGS
from tests.support.checkpoints import SMALL_GEOMETRY, Layout, write_checkpoint, write_weights
from tests.support.exporters import QUICK
from tests.support.geometries import GEOMETRIES
from tests.support.packed_checkpoints import (
    Scheme,
    Written,
    pack_gptq,
    random_layer,
    write_packed_checkpoint,
)
from tests.support.sources import Dequantized

SYMMETRIC = Scheme(zero=8)
WEIGHTS = "model.safetensors"


def layers_of(written: Written) -> dict[str, str]:
    """Layer, as recipes call it -> source, of the packed ones."""
    layers = linear_layers(written.geometry)
    return {layer.name: layer.source for layer in layers if layer.source in written.layers}


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    write_weights(folder, tensors)


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= values
    (folder / "config.json").write_text(json.dumps(config))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder))
    return str(caught.value)


@pytest.mark.parametrize("layout", ["hub", "transformers5"])
@pytest.mark.parametrize(
    ("scheme", "precision"),
    [
        (SYMMETRIC, Precision(4, 32)),
        (Scheme(zero=8, version="gptq_v2"), Precision(4, 32)),
        (Scheme(zero=8, group_size=128), Precision(4, 32)),  # 96 and 160 inputs: a rest of 96 or 32
        (Scheme(zero=8, group_size=-1), Precision(4, 32)),
        (Scheme(zero=128, bits=8, group_size=-1), Precision(8)),
    ],
)
def test_integers_that_stand(tmp_path: Path, layout: Layout, scheme: Scheme, precision: Precision) -> None:
    written = write_packed_checkpoint(tmp_path, scheme, layout=layout, shards=2)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "gptq"
    assert checkpoint.fixed_bits == dict.fromkeys(layers_of(written), precision)
    assert not checkpoint.requantized
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name
    for layer, source in layers_of(written).items():
        quantized = checkpoint.quantized(layer)
        packed = written.layers[source]
        assert quantized is not None
        assert np.array_equal(quantized.integers, packed.codes.numpy() - scheme.zero)
        assert np.array_equal(quantized.dequantize(), packed.weight().float().numpy())
        group = None if precision.bits == 8 else quantized.group_size
        assert Precision(quantized.bits, group) == precision
    assert checkpoint.quantized("lm_head") is None
    assert checkpoint.quantized("vision_encoder.blocks.0.qkv") is None


@pytest.mark.parametrize(
    ("scheme", "fixed"),
    [
        (Scheme(), None),  # zero points that differ
        (Scheme(version="gptq_v2"), None),
        (Scheme(zero=8, scale_sign=-1.0), None),
        (Scheme(zero=8, group_size=16), None),
        (Scheme(zero=128, bits=8, group_size=32), Precision(8)),
    ],
)
def test_integers_that_cannot_stand(tmp_path: Path, scheme: Scheme, fixed: Precision | None) -> None:
    written = write_packed_checkpoint(tmp_path, scheme)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.requantized == layers_of(written).keys()
    assert set(checkpoint.fixed_bits.values()) == ({fixed} if fixed else set())
    assert all(checkpoint.quantized(layer) is None for layer in layers_of(written))
    for source in written.layers:
        assert torch.equal(checkpoint.tensor(f"{source}.weight"), written.tensors[f"{source}.weight"])


def test_it_pickles(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    checkpoint = open_checkpoint(str(tmp_path))
    again: Checkpoint = pickle.loads(pickle.dumps(checkpoint))
    assert again.fixed_bits == checkpoint.fixed_bits
    first, second = (source.quantized("text_decoder.layers.1.up_proj") for source in (checkpoint, again))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.integers, second.integers)


def test_a_packed_head_that_is_not_tied(tmp_path: Path) -> None:
    geometry = GEOMETRIES["untied, 4/4 heads of 32"]
    written = write_packed_checkpoint(tmp_path, SYMMETRIC, geometry)
    packed = "model.layers.0.mlp.down_proj"

    layer = random_layer(416, 128, SYMMETRIC, 7)

    def replace_head(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["lm_head.weight"]
        tensors |= {f"lm_head.{kind}": value for kind, value in pack_gptq(layer, SYMMETRIC).items()}

    change(tmp_path, replace_head)
    wanted = layer.weight().float()
    checkpoint = open_checkpoint(str(tmp_path))
    assert torch.equal(checkpoint.tensor("lm_head.weight"), wanted)
    quantized = checkpoint.quantized("lm_head")
    assert quantized is not None
    assert np.array_equal(quantized.dequantize(), wanted.numpy())
    assert torch.equal(checkpoint.tensor(f"{packed}.weight"), written.tensors[f"{packed}.weight"])


def test_a_packed_head_is_kept_though_the_config_ties_it(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, SYMMETRIC)
    layer = random_layer(384, 96, SYMMETRIC, 7)
    head = {f"lm_head.{kind}": value for kind, value in pack_gptq(layer, SYMMETRIC).items()}
    change(tmp_path, lambda tensors: tensors.update(head))
    checkpoint = open_checkpoint(str(tmp_path))
    assert not checkpoint.geometry.text.tie_word_embeddings
    assert torch.equal(checkpoint.tensor("lm_head.weight"), layer.weight().float())
    table = "model.embed_tokens.weight"
    assert torch.equal(checkpoint.tensor(table), written.tensors[table])
    assert "lm_head of its own" in checkpoint.notes[0]


def test_a_layer_that_is_stored_packed_and_as_floats(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = "model.layers.0.mlp.up_proj.weight"
    change(tmp_path, lambda tensors: tensors.update({name: torch.ones(160, 96)}))
    with pytest.raises(CheckpointError, match=rf"holds {name} twice, as packed integers and as"):
        open_checkpoint(str(tmp_path))


@pytest.mark.parametrize("scheme", [SYMMETRIC, Scheme(zero=128, bits=8, group_size=-1)])
def test_logits_of_the_unpacked_integers(tmp_path: Path, scheme: Scheme) -> None:
    """transformers gets the packer's float weights, our graphs what was unpacked."""
    written = write_packed_checkpoint(tmp_path / "packed", scheme)
    write_checkpoint(tmp_path / "floats", dtype=torch.float32)
    write_weights(tmp_path / "floats", written.tensors)
    source = Dequantized(open_checkpoint(str(tmp_path / "packed")))
    text, recipe = written.geometry.text, named_recipe("fp32")
    load_custom_ops()
    plan = resolve(recipe, written.geometry)
    decoder, head = TextDecoder(plan, 32), LMHead(plan)
    for graph in (decoder, head):
        fill(graph, source, plan.method)
    ids = tuple(range(40, 64))
    cos, sin = text_rope(np.broadcast_to(np.arange(len(ids)), (3, len(ids))), text)
    embeddings = source.tensor("model.embed_tokens.weight").float()[list(ids)][None]
    with torch.no_grad():
        rope = (torch.from_numpy(cos), torch.from_numpy(sin))
        hidden = decoder(embeddings, *rope, torch.zeros(1, dtype=torch.int64))
        logits = head(hidden)[0].numpy()
    wanted = Reference(tmp_path / "floats", 3136, 12544).logits(ids, (), len(ids))
    assert np.abs(wanted).max() > 1
    assert np.abs(logits - wanted).max() < 1e-3


def export(folder: Path, output: Path, **options: Any) -> tuple[Manifest, list[str]]:
    said: list[str] = []
    options = {"recipe": named_recipe("int4"), "settings": SETTINGS, "target": QUICK} | options
    manifest = export_bundle(str(folder), output, command="pytest", warn=said.append, **options)
    return manifest, said


def test_the_bundle_holds_the_integers_of_the_checkpoint(tmp_path: Path) -> None:
    """int8 asks for other bits, which the checkpoint's integers need not become."""
    written = write_packed_checkpoint(tmp_path / "packed", SYMMETRIC)
    manifest, said = export(
        tmp_path / "packed",
        tmp_path / "bundle",
        recipe=named_recipe("int8"),
        target=replace(target_for(names.EXECUTORCH), export_vision=exporters.vision),
    )
    path = tmp_path / "bundle" / names.TEXT_DECODER_PTE
    places, data = read_pte(path).data, path.read_bytes()
    for layer in written.layers.values():
        stored = stored_weights((layer.codes - 8).to(torch.int8).numpy(), 4)
        place = places[sha256(stored.tobytes()).hexdigest()]
        assert data[place.offset : place.offset + place.size] == stored.tobytes()
        scales = scale_bytes(layer.scales.bfloat16().float().numpy(), 4).tobytes()
        place = places["scale_" + sha256(scales).hexdigest()]
        assert data[place.offset : place.offset + place.size] == scales
    assert manifest.quantization_method == "gptq checkpoint + rtn"
    groups = {(group.component, group.bits): group for group in manifest.layers}
    assert groups[names.TEXT_DECODER, 4].group_size == 32
    assert groups[names.TEXT_DECODER, 4].layers == len(written.layers)
    assert said == ["Layers that keep the integers of the gptq checkpoint: 14 (4 bits in groups of 32)."]


def filled_text(inputs: ExportInputs, progress: Any) -> Any:
    """Fills the decoder's graph, and writes nothing of it."""
    fill(TextDecoder(inputs.plan, 8), inputs.source, inputs.plan.method)
    return exporters.text(inputs, progress)


@pytest.mark.parametrize("isolated", [False, True])
def test_layers_that_are_quantized_again_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: bool
) -> None:
    if isolated:
        monkeypatch.setattr(pipeline, "_ISOLATED_ABOVE", 0)
    write_packed_checkpoint(tmp_path / "packed", Scheme(bits=8, zero=128, group_size=32))
    quick = replace(QUICK, export_text=filled_text)
    manifest, said = export(tmp_path / "packed", tmp_path / "bundle", target=quick)
    assert manifest.quantization_method == "rtn"
    assert len(said) == 1
    assert said[0].startswith("Layers of the checkpoint that had to be quantized again: 14.")
    mean = float(said[0].split(" by ")[1].split(" %")[0])
    assert 0.3 < mean < 1.5  # 8 bits, a scale a row: an 8-bit checkpoint stays at 8 bits under int4, too


def test_a_float_recipe_stays_float(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path / "packed", SYMMETRIC)
    manifest, said = export(tmp_path / "packed", tmp_path / "bundle", recipe=named_recipe("fp32"))
    assert manifest.quantization_method == "none"
    assert said == []


def test_what_is_known_to_stand_shrinks_the_estimate(tmp_path: Path) -> None:
    """The recipe has the checkpoint's bits before anything is estimated or begun."""
    seen: list[Precision] = []

    def vision(inputs: ExportInputs, progress: Any) -> Any:
        seen.append(inputs.plan.precisions["text_decoder.layers.0.q_proj"])
        return exporters.vision(inputs, progress)

    write_packed_checkpoint(tmp_path / "packed", Scheme(zero=8, group_size=128))
    export(
        tmp_path / "packed",
        tmp_path / "bundle",
        recipe=named_recipe("int8"),
        target=replace(QUICK, export_vision=vision),
    )
    assert seen == [Precision(4, 32)]


def test_biases_of_zeros_are_left_out(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC, zero_biases=True)
    open_checkpoint(str(tmp_path))
    bias = "model.layers.1.mlp.down_proj.bias"
    change(tmp_path, lambda tensors: tensors[bias].fill_(0.5))
    assert f"{bias} is not zero" in refusal(tmp_path)


def test_activation_order_is_refused(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, Scheme(zero=8, act_order=True))
    message = refusal(tmp_path)
    assert "model.layers.0.self_attn.q_proj.g_idx" in message
    assert "desc_act=False" in message


@pytest.mark.parametrize("kind", ["qweight", "qzeros", "scales", "g_idx"])
def test_a_missing_tensor(tmp_path: Path, kind: str) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.1.self_attn.k_proj.{kind}"
    change(tmp_path, lambda tensors: tensors.pop(name))
    assert f"lacks the tensor {name} of shape" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["qweight", "qzeros", "scales", "g_idx"])
def test_a_misshapen_tensor(tmp_path: Path, kind: str) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.1.self_attn.k_proj.{kind}"
    change(tmp_path, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    assert f"the tensor {name} has the shape" in refusal(tmp_path)


@pytest.mark.parametrize(("kind", "dtype"), [("qweight", torch.int64), ("scales", torch.int32)])
def test_a_tensor_of_another_type(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = f"model.layers.0.mlp.up_proj.{kind}"
    change(tmp_path, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert f"the tensor {name} has the type I" in refusal(tmp_path)


def test_scales_that_are_not_finite(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = "model.layers.0.mlp.up_proj.scales"
    change(tmp_path, lambda tensors: tensors[name][0, 3].fill_(torch.nan))
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


AUTO_ROUND = Scheme("auto-round", zero=8, version="auto_round:auto_gptq")


@pytest.mark.parametrize("method", ["auto-round", "intel/auto-round"])
@pytest.mark.parametrize(
    "version", ["auto_round:auto_gptq", "auto_round:gptq:exllamav2", "auto_round:gptqmodel:marlin"]
)
@pytest.mark.parametrize("zero", [8, None])
def test_auto_round(tmp_path: Path, method: str, version: str, zero: int | None) -> None:
    """The same integers as GPTQ's, without g_idx; the zero points tell its two conventions apart."""
    written = write_packed_checkpoint(tmp_path, Scheme(method, version=version, zero=zero))
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "gptq"
    assert bool(checkpoint.requantized) is (zero is None)
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name


def test_auto_round_with_the_packing_of_awq(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, Scheme("auto-round", version="auto_round:auto_awq"))
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "awq"
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name


def test_an_older_auto_round_says_backend_and_may_store_the_order(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, AUTO_ROUND)
    change_config(tmp_path, packing_format=None, backend="auto_round:gptq:exllamav2")
    name = "model.layers.0.mlp.up_proj"
    order = torch.arange(96, dtype=torch.int32) // 32
    change(tmp_path, lambda tensors: tensors.update({f"{name}.g_idx": order}))
    weight = open_checkpoint(str(tmp_path)).tensor(f"{name}.weight")
    assert torch.equal(weight, written.tensors[f"{name}.weight"])
    change(tmp_path, lambda tensors: tensors.update({f"{name}.g_idx": order.flip(0)}))
    assert "activation order" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"packing_format": "auto_round"}, "packing_format 'auto_round' cannot be read"),
        ({"packing_format": "auto_round:llm_compressor"}, "'auto_round:llm_compressor' cannot be read"),
        ({"packing_format": "auto_gptq"}, "packing_format 'auto_gptq' cannot be read"),
        ({"packing_format": None}, "packing_format 'auto_round' cannot be read"),
        ({"data_type": "mx_fp"}, "data_type 'mx_fp' for activations of 16 bits"),
        ({"act_bits": 8}, "for activations of 8 bits"),
        ({"bits": 2, "extra_config": None}, "weights of 2 bits"),
        ({"extra_config": {".*down.*": {"bits": 8}}}, "'extra_config' gives '.*down.*' a bits of its own, 8"),
        ({"extra_config": {"lm_head": {"bits": 4, "group_size": 64}}}, "a group_size of its own, 64"),
    ],
)
def test_other_configs_of_auto_round(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    write_packed_checkpoint(tmp_path, AUTO_ROUND)
    change_config(tmp_path, extra_config={"lm_head": {"bits": 16, "data_type": "float"}, "x": {"bits": 4}})
    assert open_checkpoint(str(tmp_path)).fixed_bits
    change_config(tmp_path, **values)
    message = refusal(tmp_path)
    assert said in message
    assert message.endswith(".")


@pytest.mark.parametrize("scheme", [Scheme(zero=8, group_size=-1), AUTO_ROUND, Scheme("awq")])
def test_groups_wider_than_any_row(tmp_path: Path, scheme: Scheme) -> None:
    """They are the row; repeated for each of a billion inputs their scales would take all memory."""
    written = write_packed_checkpoint(tmp_path, dataclasses.replace(scheme, group_size=-1))
    change_config(tmp_path, group_size=10**9)
    checkpoint = open_checkpoint(str(tmp_path))
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(checkpoint.tensor(name), written.tensors[name])


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
