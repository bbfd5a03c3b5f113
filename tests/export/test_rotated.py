"""A rotated model computes what its checkpoint does, and only what can be rotated is."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pocketvl.evaluate.reference import Reference
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import RotatedSource
from pocketvl.export.executorch.operators import FusedAttention
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.vision_graph import VisionEncoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import float_plan, resolve
from pocketvl.export.layers import HEAD_ROTATION
from pocketvl.export.modules import LMHead
from pocketvl.export.weights import fill_floats
from pocketvl.quant.recipe import Precision, Recipe, Rule, named_recipe
from pocketvl.quant.rotation import hidden_rotation
from pocketvl.runtime.errors import RecipeError
from pocketvl.runtime.positions import text_rope, vision_rope
from tests.support.checkpoints import write_checkpoint, write_weights
from tests.support.geometries import GEOMETRIES
from tests.support.packed_checkpoints import Scheme, write_packed_checkpoint

ROTATED = Recipe("mine", "rtn", (Rule("*", Precision(8)),), rotation=True)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_logits_are_those_of_transformers(tmp_path: Path, name: str, tied: bool) -> None:
    """The final norm's weights differ by a tenth from one another: without the head's own layer, or with it
    twice, logits are off by more than that."""
    geometry = write_checkpoint(tmp_path, GEOMETRIES[name], dtype=torch.float32, tied=tied)
    source = RotatedSource(open_checkpoint(str(tmp_path)))
    plan = float_plan(geometry, rotated=True)
    load_custom_ops()
    decoder, head = TextDecoder(plan, 32), LMHead(plan)
    assert (head.rotation is not None) == tied
    for graph in (decoder, head):
        fill_floats(graph, source)
    ids = tuple(range(40, 64))
    angles = text_rope(np.broadcast_to(np.arange(len(ids)), (3, len(ids))), geometry.text)
    embeddings = source.tensor("model.embed_tokens.weight")[list(ids)][None]
    with torch.no_grad():
        hidden = decoder(embeddings, *map(torch.from_numpy, angles), torch.zeros(1, dtype=torch.int64))
        logits = head(hidden)[0].numpy()
    wanted = Reference(tmp_path, 3136, 12544).logits(ids, (), len(ids))
    assert np.abs(wanted).max() > 1
    assert np.abs(logits - wanted).max() < 1e-3
    # And the states between have really been turned.
    plain = open_checkpoint(str(tmp_path)).tensor("model.embed_tokens.weight")[list(ids)]
    assert not torch.allclose(embeddings[0], plain, atol=0.1)
    assert torch.allclose(hidden_rotation(plain.shape[1]).undo(embeddings[0]), plain, atol=1e-5)


@torch.no_grad()
def test_the_vision_tower_ends_rotated(tmp_path: Path) -> None:
    geometry = write_checkpoint(tmp_path, dtype=torch.float32)
    vision = geometry.vision
    checkpoint, plan = open_checkpoint(str(tmp_path)), float_plan(geometry)
    patches = torch.randn(16, vision.patch_dim, generator=torch.Generator().manual_seed(0))
    cos, sin = (torch.from_numpy(part) for part in vision_rope(4, 4, vision))
    found = []
    for source in (checkpoint, RotatedSource(checkpoint)):
        tower = VisionEncoder(plan, FusedAttention(vision))
        fill_floats(tower, source)
        found.append(tower(patches, cos, sin))
    plain, rotated = found
    assert torch.allclose(hidden_rotation(vision.output_size).apply(plain), rotated, atol=1e-4)
    assert not torch.allclose(plain, rotated, atol=0.1)


def test_the_tied_head_and_the_embeddings_are_one_table(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    source = pickle.loads(pickle.dumps(RotatedSource(checkpoint)))
    assert torch.equal(source.tensor("lm_head.weight"), source.tensor("model.embed_tokens.weight"))
    assert source.fingerprint() == checkpoint.fingerprint()
    assert (source.packing, source.fixed_bits, source.requantized) == (None, {}, frozenset())
    assert torch.equal(source.tensor("model.layers.1.input_layernorm.weight"), torch.ones(96))
    mean = float(checkpoint.tensor("model.norm.weight").float().mean())
    assert torch.allclose(source.tensor("model.norm.weight"), torch.full((96,), mean))
    for name in ("visual.blocks.0.norm1.weight", "visual.merger.mlp.0.weight"):
        assert torch.equal(source.tensor(name), checkpoint.tensor(name))


@pytest.mark.parametrize("weights", [torch.zeros(96), torch.linspace(-1, 1, 96)])
def test_final_norms_without_a_mean(tmp_path: Path, weights: torch.Tensor) -> None:
    write_checkpoint(tmp_path, dtype=torch.float32)
    tensors = load_file(tmp_path / "model.safetensors")
    write_weights(tmp_path, tensors | {"model.norm.weight": weights})
    source = RotatedSource(open_checkpoint(str(tmp_path)))
    normed = torch.randn(5, 96, generator=torch.Generator().manual_seed(0))
    turn = hidden_rotation(96)
    scaled = turn.apply(normed) * source.tensor("model.norm.weight")
    got = scaled + scaled @ source.tensor(f"{HEAD_ROTATION}.weight").T
    assert torch.allclose(turn.undo(got), normed * weights, atol=1e-5)


def test_no_row_of_the_heads_layer_is_all_diagonal(tmp_path: Path) -> None:
    """Or 8 bits a row would be spent on one weight."""
    write_checkpoint(tmp_path, dtype=torch.float32)
    matrix = RotatedSource(open_checkpoint(str(tmp_path))).tensor(f"{HEAD_ROTATION}.weight")
    rows = matrix.abs().amax(1) / matrix.square().mean(1).sqrt()
    assert rows.max() < 6  # 96 inputs of a normal distribution reach 2.5 to 4


def test_the_head_gets_a_layer_where_embeddings_are_tied() -> None:
    tied, untied, _ = GEOMETRIES.values()
    plan = resolve(ROTATED, tied)
    assert plan.rotated
    assert plan.precisions[HEAD_ROTATION] == Precision(8)
    assert plan.method_name == "rotation + rtn"
    layer = next(layer for layer, _ in plan.layers if layer.name == HEAD_ROTATION)
    assert (layer.component, layer.out_features, layer.in_features) == ("lm_head", 96, 96)
    assert HEAD_ROTATION not in resolve(ROTATED, untied).precisions
    plain = resolve(dataclasses.replace(ROTATED, rotation=False), tied)
    assert not plain.rotated
    assert HEAD_ROTATION not in plain.precisions
    assert plain.fingerprint() != plan.fingerprint()
    assert (
        resolve(ROTATED, untied).fingerprint()
        != resolve(dataclasses.replace(ROTATED, rotation=False), untied).fingerprint()
    )


def test_its_bits_come_from_a_rule() -> None:
    rules = (Rule(HEAD_ROTATION, Precision(32)), Rule("*", Precision(8)))
    recipe = dataclasses.replace(ROTATED, rules=rules)
    tied, untied, _ = GEOMETRIES.values()
    assert resolve(recipe, tied).precisions[HEAD_ROTATION] == Precision(32)
    resolve(recipe, untied)  # where there is no such layer the rule is no mistake
    with pytest.raises(RecipeError, match="matches no layer"):
        resolve(dataclasses.replace(recipe, rotation=False), tied)


def test_floats_stay_as_they_are() -> None:
    geometry = next(iter(GEOMETRIES.values()))
    for name in ("fp32", "fp16"):
        recipe = dataclasses.replace(named_recipe(name), rotation=True)
        assert not resolve(recipe, geometry).rotated


def test_packed_integers_stay_as_they_are(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path, Scheme(zero=8))
    checkpoint = open_checkpoint(str(tmp_path))
    plan = resolve(ROTATED, checkpoint.geometry, checkpoint)
    assert not plan.rotated
    assert HEAD_ROTATION not in plan.precisions
    assert plan.kept
