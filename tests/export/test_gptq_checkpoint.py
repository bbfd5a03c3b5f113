"""GPTQ checkpoints: their integers reach the bundle unchanged, and what cannot is said."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvl.evaluate.reference import Reference
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.export.modules import LMHead
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Precision, named_recipe
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.positions import text_rope
from tests.support.checkpoints import Layout, write_checkpoint, write_weights
from tests.support.geometries import GEOMETRIES
from tests.support.packed_checkpoints import (
    Scheme,
    Written,
    change_config,
    change_tensors,
    pack_gptq,
    random_layer,
    write_packed_checkpoint,
)
from tests.support.sources import Dequantized

SYMMETRIC = Scheme(zero=8)


def layers_of(written: Written) -> dict[str, str]:
    """Layer, as recipes call it -> source, of the packed ones."""
    layers = linear_layers(written.geometry)
    return {layer.name: layer.source for layer in layers if layer.source in written.layers}


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

    change_tensors(tmp_path, replace_head)
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
    change_tensors(tmp_path, lambda tensors: tensors.update(head))
    checkpoint = open_checkpoint(str(tmp_path))
    assert not checkpoint.geometry.text.tie_word_embeddings
    assert torch.equal(checkpoint.tensor("lm_head.weight"), layer.weight().float())
    table = "model.embed_tokens.weight"
    assert torch.equal(checkpoint.tensor(table), written.tensors[table])
    assert "lm_head of its own" in checkpoint.notes[0]


def test_a_layer_that_is_stored_packed_and_as_floats(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, SYMMETRIC)
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(tmp_path, lambda tensors: tensors.update({name: torch.ones(160, 96)}))
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


AUTO_ROUND = Scheme("auto-round", zero=8, version="auto_round:auto_gptq")


@pytest.mark.parametrize("scheme", [Scheme(zero=8, group_size=-1), AUTO_ROUND, Scheme("awq")])
def test_groups_wider_than_any_row(tmp_path: Path, scheme: Scheme) -> None:
    """They are the row; repeated for each of a billion inputs their scales would take all memory."""
    written = write_packed_checkpoint(tmp_path, dataclasses.replace(scheme, group_size=-1))
    change_config(tmp_path, group_size=10**9)
    checkpoint = open_checkpoint(str(tmp_path))
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(checkpoint.tensor(name), written.tensors[name])
