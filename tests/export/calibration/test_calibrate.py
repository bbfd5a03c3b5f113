"""Calibrating a small random model: what is decided, what interruption costs, what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvl.export.calibration import stage
from pocketvl.export.calibration.calibrate import calibrate
from pocketvl.export.calibration.inputs import InputMaker, SampleInputs
from pocketvl.export.calibration.samples import load_samples
from pocketvl.export.calibration.stage import RowsFold
from pocketvl.export.calibration.store import CalibratedSource, Decisions
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.component import RotatedSource
from pocketvl.export.executorch.operators import FusedAttention, HeadByHeadAttention, attention_inputs
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.vision_graph import VisionEncoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer, linear_layers
from pocketvl.export.modules import Linear
from pocketvl.export.weights import fill, fill_floats
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Calibration, Precision, Recipe, Rule, named_recipe
from tests.support.calibrating import RECIPE, SETTINGS, StopError, run
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.sources import Dequantized


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return open_checkpoint(str(folder))


@pytest.fixture(scope="module")
def calibrated(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> CalibratedSource:
    return run(checkpoint, tmp_path_factory.mktemp("decided"))


def test_every_layer_of_fewer_than_8_bits_is_decided_as_the_recipe_says(
    checkpoint: Checkpoint, calibrated: CalibratedSource
) -> None:
    for layer in linear_layers(checkpoint.geometry):
        precision, decided = RECIPE.precision(layer.name, layer.in_features), calibrated.quantized(layer.name)
        if precision.bits == 8:
            assert decided is None
            continue
        assert decided is not None
        assert decided.integers.shape == (layer.out_features, layer.in_features)
        assert (decided.bits, decided.group_size) == (
            precision.bits,
            precision.group_size or layer.in_features,
        )


def test_what_stays_at_8_bits_is_run_but_not_decided(checkpoint: Checkpoint, tmp_path: Path) -> None:
    recipe = dataclasses.replace(named_recipe("int4", "gptq"), calibration=RECIPE.calibration, rotation=False)
    source = run(checkpoint, tmp_path, recipe)
    decided = {
        layer.name: source.quantized(layer.name) is not None for layer in linear_layers(checkpoint.geometry)
    }
    assert decided == {name: name.startswith("text_decoder.") for name in decided}
    name = "visual.blocks.0.norm1.weight"
    assert torch.equal(source.tensor(name), checkpoint.tensor(name))
    images, _ = graph_outputs(source, recipe, checkpoint)
    rounded, _ = graph_outputs(checkpoint, named_recipe("int4"), checkpoint)
    assert torch.equal(images, rounded)


@pytest.mark.parametrize("recipe", ["int8", "int4"])
def test_behind_a_rotation_decoder_and_head_are_decided_whatever_their_bits(
    checkpoint: Checkpoint, tmp_path: Path, recipe: str
) -> None:
    chosen = dataclasses.replace(named_recipe(recipe, "gptq"), calibration=RECIPE.calibration)
    plan = resolve(chosen, checkpoint.geometry, checkpoint)
    assert plan.rotated
    assert plan.method_name == "rotation + gptq + rtn"
    calibrate(
        checkpoint, RotatedSource(checkpoint), plan, SETTINGS, checkpoint.image, tmp_path, lambda *_: None
    )
    source = CalibratedSource(RotatedSource(checkpoint), tmp_path)
    decided = {name: source.quantized(name) is not None for name in plan.precisions}
    assert decided == {name: not name.startswith("vision_encoder.") for name in decided}
    head = source.quantized("lm_head.rotation")
    assert head is not None
    assert (head.bits, head.integers.shape) == (8, (96, 96))
    wanted = RotatedSource(checkpoint).tensor("lm_head.rotation.weight")
    assert torch.allclose(torch.from_numpy(head.dequantize()), wanted, atol=0.02)


def test_correction_runs_the_float_model_along(checkpoint: Checkpoint, tmp_path: Path) -> None:
    found = []
    for share in (0.0, 0.5):
        data = dataclasses.replace(RECIPE.calibration, correction=share)
        source = run(checkpoint, tmp_path / str(share), dataclasses.replace(RECIPE, calibration=data))
        found.append(source)
    layers = [f"text_decoder.layers.{index}.down_proj" for index in (0, 1)]
    for layer in layers:
        without, corrected = (source.quantized(layer) for source in found)
        assert without is not None
        assert corrected is not None
        assert not np.array_equal(without.integers, corrected.integers)
    same = "vision_encoder.blocks.1.fc1"
    first, second = (source.quantized(same) for source in found)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.integers, second.integers)


def test_units_after_the_last_that_is_decided_are_not_run(checkpoint: Checkpoint, tmp_path: Path) -> None:
    rules = (Rule("vision_encoder.blocks.0.*", Precision(4, 32)), Rule("*", Precision(8)))
    recipe = Recipe("tower", "gptq", rules, RECIPE.calibration)
    run(checkpoint, tmp_path, recipe)
    written = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert written == {"flow", "vision_encoder.patch_embed", "vision_encoder.blocks.0"}


def test_running_a_tower_by_itself_attends_as_its_artifact_does() -> None:
    vision = SMALL_GEOMETRY.vision
    generator = torch.Generator().manual_seed(3)
    inputs = [torch.randn(each.shape, generator=generator) for each in attention_inputs(vision, 12, False)]
    (ours,), (theirs,) = FusedAttention(vision)(*inputs), HeadByHeadAttention(vision)(*inputs)
    assert torch.allclose(ours, theirs, atol=1e-5)


def held_out(checkpoint: Checkpoint) -> SampleInputs:
    maker = InputMaker(checkpoint, checkpoint.image, SETTINGS.buckets, SETTINGS.max_context)
    return maker.make(load_samples(Calibration(samples=1, seed=5))[0], 1)


def graph_outputs(source, recipe: Recipe, checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the vision tower for an image that was not calibrated on, and of the decoder behind it."""
    load_custom_ops()
    geometry, generator = checkpoint.geometry, torch.Generator().manual_seed(9)
    plan = resolve(recipe, geometry)
    encoder, decoder = VisionEncoder(plan), TextDecoder(plan, 64)
    for graph in (encoder, decoder):
        fill(graph, source, plan.method) if recipe.name != "float" else fill_floats(graph, source)
    (image,) = held_out(checkpoint).images
    with torch.no_grad():
        images = encoder(image.patches, image.rope_cos, image.rope_sin)
        rope = torch.rand(len(images), geometry.text.head_dim // 2, generator=generator).repeat(1, 2)
        hidden = decoder(images[None], rope.cos(), rope.sin(), torch.zeros(1, dtype=torch.int64))
    return images, hidden


def test_what_was_decided_is_nearer_to_the_model_than_rounding(
    checkpoint: Checkpoint, calibrated: CalibratedSource
) -> None:
    floats = graph_outputs(checkpoint, dataclasses.replace(RECIPE, name="float"), checkpoint)
    ours = graph_outputs(calibrated, RECIPE, checkpoint)
    rounded = graph_outputs(checkpoint, named_recipe("int4-small"), checkpoint)
    for right, got, other in zip(floats, ours, rounded, strict=True):
        assert (got - right).norm() < (other - right).norm()


def test_scales_fold_into_the_linear_layer_before_without_touching_its_integers() -> None:
    leaf = Linear(Layer("v", "v", 4, 8, True), Precision(4, 32))
    leaf.weight = torch.nn.Parameter(torch.randn(4, 8), requires_grad=False)
    leaf.bias = torch.nn.Parameter(torch.randn(4), requires_grad=False)
    before = leaf.weight.data.clone(), leaf.bias.data.clone()
    integers = np.arange(32, dtype=np.int8).reshape(4, 8) % 16 - 8
    decided = QuantizedLinear(integers, np.full((4, 1), 0.75, np.float32), 4, 8)
    decisions = Decisions({"v": decided})
    fold = RowsFold(leaf, torch.tensor([2, 3, 2, 3]))  # two heads that read the same two rows
    assert fold.possible(Packed())
    assert not fold.possible(Packed({"v": decided}))
    scales = fold.allowed(torch.tensor([4.2, 1.0, 15.0, 0.26]))
    assert scales.tolist() == [8.0, 0.5, 8.0, 0.5]
    fold.divide(scales, decisions)
    assert torch.equal(leaf.weight.data * torch.tensor([[1.0], [1], [8], [0.5]]), before[0])
    assert torch.equal(decisions.tensors["v.bias"] * torch.tensor([1.0, 1, 8, 0.5]), before[1])
    assert np.array_equal(decisions.quantized["v"].integers, integers)
    assert decisions.quantized["v"].scales[:, 0].tolist() == [0.75, 0.75, 0.09375, 1.5]


class Packed:
    """A source, of which only its own integers are asked for."""

    geometry = SMALL_GEOMETRY

    def __init__(self, packed: dict[str, QuantizedLinear] | None = None) -> None:
        self.packed = packed or {}

    def tensor(self, name: str) -> torch.Tensor:
        raise AssertionError(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        return self.packed.get(layer)


def test_values_and_up_projections_fold_to_the_same_function(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With scales forced on every fold and no rounding at all the graphs must compute what they did."""

    def forced(x, token_weights, weights, allowed):
        spread = torch.linspace(-2, 2, x.shape[1])
        return allowed(torch.exp2(spread))

    monkeypatch.setattr(stage, "folding_scales", forced)
    monkeypatch.setattr(stage, "gptq", lambda weight, factor, bits: fine(weight))
    monkeypatch.setattr(stage, "quantized_activations", lambda x: x)
    source = run(checkpoint, tmp_path)
    assert source.quantized("text_decoder.layers.0.v_proj") is not None
    floats = dataclasses.replace(RECIPE, name="float")
    right = graph_outputs(checkpoint, floats, checkpoint)
    got = graph_outputs(Dequantized(source), floats, checkpoint)
    for ours, theirs in zip(got, right, strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def fine(weight: torch.Tensor) -> QuantizedLinear:
    """Eight bits a group of 8 inputs: about as good as no rounding."""
    groups = weight.reshape(len(weight), -1, 8)
    scales = groups.abs().amax(-1).clamp_min(1e-6) / 127
    integers = torch.round(groups / scales[..., None]).to(torch.int8).view_as(weight)
    return QuantizedLinear(integers.numpy(), scales.numpy(), 8, 8)


def test_folding_alone_changes_nothing(checkpoint: Checkpoint, calibrated: CalibratedSource) -> None:
    """A norm divided by s and integers that stand for W s: the product is the layer that was there before."""
    folded = 0
    for index in range(checkpoint.geometry.text.num_layers):
        name = f"model.layers.{index}.input_layernorm.weight"
        scales = checkpoint.tensor(name).float() / calibrated.tensor(name).float()
        folded += not torch.allclose(scales, torch.ones_like(scales))
        weight = checkpoint.tensor(f"model.layers.{index}.self_attn.q_proj.weight").float()
        decided = calibrated.quantized(f"text_decoder.layers.{index}.q_proj")
        assert decided is not None
        error = torch.from_numpy(decided.dequantize()) / scales - weight
        assert error.norm() < 0.2 * weight.norm()
    assert folded


@pytest.mark.parametrize("stop_at", ["blocks.1", "merger", "layers.0", "lm_head"])
def test_an_interrupted_calibration_goes_on_to_the_same_integers(
    checkpoint: Checkpoint, calibrated: CalibratedSource, tmp_path: Path, stop_at: str
) -> None:
    with pytest.raises(StopError):
        run(checkpoint, tmp_path, stop_at=stop_at)
    done = len(list(tmp_path.glob("*.safetensors")))
    again = run(checkpoint, tmp_path)
    assert done > 1
    for layer in linear_layers(checkpoint.geometry):
        ours, theirs = again.quantized(layer.name), calibrated.quantized(layer.name)
        if theirs is None:
            assert ours is None
            continue
        assert ours is not None
        assert np.array_equal(ours.integers, theirs.integers)
        assert np.array_equal(ours.scales, theirs.scales)


def test_a_finished_unit_whose_activations_are_lost_is_done_again(
    checkpoint: Checkpoint, calibrated: CalibratedSource, tmp_path: Path
) -> None:
    with pytest.raises(StopError):
        run(checkpoint, tmp_path, stop_at="layers.1")
    (tmp_path / "flow.safetensors").unlink()
    again = run(checkpoint, tmp_path)
    name = "text_decoder.layers.1.down_proj"
    assert np.array_equal(again.quantized(name).integers, calibrated.quantized(name).integers)


def test_another_recipe_starts_anew(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        run(checkpoint, tmp_path, stop_at="blocks.2")
    with pytest.raises(StopError):
        run(checkpoint, tmp_path, named_recipe("int4", "gptq"), stop_at="patch_embed")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("bits", [32, 8])
def test_layers_that_are_not_decided_get_the_folded_weight(
    checkpoint: Checkpoint, tmp_path: Path, bits: int
) -> None:
    recipe = RECIPE.with_layers({"text_decoder.layers.0.k_proj": Precision(bits)})
    source = run(checkpoint, tmp_path, recipe)
    assert source.quantized("text_decoder.layers.0.k_proj") is None
    weight = "model.layers.0.self_attn.k_proj.weight"
    norm = "model.layers.0.input_layernorm.weight"
    before = checkpoint.tensor(weight).float() * checkpoint.tensor(norm).float()
    assert torch.allclose(source.tensor(weight).float() * source.tensor(norm).float(), before, atol=1e-5)
