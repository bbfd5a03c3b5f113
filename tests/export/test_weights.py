"""Weights in a graph are the quantizer's integers, untouched."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from pocketvl.export.executorch.constants import scale_bytes, stored_weights
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear, LMHead
from pocketvl.export.weights import fill, to_torchao
from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision, named_recipe
from pocketvl.runtime.errors import CheckpointError, RecipeError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource


@pytest.mark.parametrize("precision", [Precision(8), Precision(4, 32), Precision(4, 64)])
def test_torchao_holds_these_very_integers_and_scales(precision: Precision) -> None:
    quantized = quantize_linear(torch.randn(6, 128), precision, "rtn", "x")
    tensor = to_torchao(quantized)
    assert tensor.shape == (6, 128)
    assert tensor.qdata.data_ptr() == quantized.integers.ctypes.data
    assert np.array_equal(tensor.scale.numpy(), quantized.scales)
    assert np.array_equal(tensor.dequantize().numpy(), quantized.dequantize())


def test_torchao_itself_would_make_the_same_kind_of_tensor() -> None:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, MappingType, PerGroup, quantize_

    plain = torch.nn.Sequential(torch.nn.Linear(64, 4))
    config = Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int4, weight_granularity=PerGroup(32), weight_mapping_type=MappingType.SYMMETRIC
    )
    quantize_(plain, config)
    theirs = plain[0].weight
    ours = to_torchao(quantize_linear(torch.randn(4, 64), Precision(4, 32), "rtn", "x"))
    assert type(ours) is type(theirs)
    for name in ("target_dtype", "dtype", "activation_quantization"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert tuple(ours.block_size) == tuple(theirs.block_size)
    assert ours.zero_point.dtype == theirs.zero_point.dtype
    assert not theirs.zero_point.any()


def test_a_linear_layer_computes_with_its_quantized_weight() -> None:
    source = RandomSource(SMALL_GEOMETRY)
    leaf = Linear(Layer("layer", "visual.blocks.0.mlp.fc1", 128, 64, True), Precision(4, 32))
    fill(leaf, source, "rtn")
    x = torch.randn(3, 64)
    quantized = quantize_linear(source.tensor(f"{leaf.source}.weight"), Precision(4, 32), "rtn", "layer")
    wanted = x @ torch.from_numpy(quantized.dequantize()).T + source.tensor(f"{leaf.source}.bias")
    assert (leaf(x) - wanted).abs().max() < 0.02  # the input has 8 bits


def test_stored_bytes_are_nibbles_low_first() -> None:
    integers = np.array([[-8, 7, 0, 1]], np.int8)
    assert stored_weights(integers, 4).tolist() == [[0xF0, 0x98]]
    assert stored_weights(integers, 8).tolist() == [[248, 7, 0, 1]]
    assert scale_bytes(np.array([[1.5]], np.float32), 4).tolist() == [[0x3FC0]]


def test_calibration_rounds_inputs_as_the_artifact_does() -> None:
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(5)) * 3
    identity = to_torchao(quantize_linear(torch.eye(64), Precision(8), "rtn", "x"))
    level = (x.amax(1) - x.amin(1)) / 255
    seen = torch.nn.functional.linear(x, identity)
    assert ((seen - quantized_activations(x)).abs() < 1e-3 * level[:, None]).all()


@dataclass
class Watched:
    """A source that counts how many of its float tensors are alive at once."""

    inner: RandomSource
    read: list[str] = field(default_factory=list)

    @property
    def geometry(self):
        return self.inner.geometry

    def tensor(self, name: str) -> torch.Tensor:
        self.read.append(name)
        return self.inner.tensor(name)

    def quantized(self, layer: str) -> None:
        return None


def test_every_tensor_of_the_decoder_is_read_once() -> None:
    source = Watched(RandomSource(SMALL_GEOMETRY))
    plan = resolve(named_recipe("int4"), SMALL_GEOMETRY)
    fill(TextDecoder(plan, 8), source, plan.method)
    fill(LMHead(plan), source, plan.method)
    wanted = [name for name in source.inner.names() if name.startswith("model.") and "embed" not in name]
    assert sorted(source.read) == sorted([*wanted, "lm_head.weight"])


@dataclass
class Broken:
    """One tensor is not what the config says."""

    geometry = SMALL_GEOMETRY
    name: str
    value: torch.Tensor

    def tensor(self, name: str) -> torch.Tensor:
        return self.value if name == self.name else RandomSource(SMALL_GEOMETRY).tensor(name)

    def quantized(self, layer: str) -> None:
        return None


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.layers.1.mlp.up_proj.weight", (160, 64)),
        ("model.layers.0.self_attn.q_proj.bias", (95,)),
        ("model.norm.weight", (1,)),
    ],
)
def test_wrong_shapes_and_values_name_the_tensor(name: str, shape: tuple[int, ...]) -> None:
    plan = resolve(named_recipe("int4"), SMALL_GEOMETRY)
    decoder = TextDecoder(plan, 8)
    with pytest.raises(CheckpointError, match=name.removesuffix(".weight").removesuffix(".bias")):
        fill(decoder, Broken(name, torch.ones(shape)), plan.method)
    nan = RandomSource(SMALL_GEOMETRY).tensor(name)
    nan.view(-1)[3] = torch.nan
    layer = "up_proj" if "up_proj" in name else name
    with pytest.raises(CheckpointError, match=f"{layer}.*NaN"):
        fill(TextDecoder(plan, 8), Broken(name, nan), plan.method)


@dataclass
class Decided:
    """A source that has the integers of one layer already."""

    layer: str
    value: QuantizedLinear
    geometry = SMALL_GEOMETRY

    def tensor(self, name: str) -> torch.Tensor:
        return RandomSource(SMALL_GEOMETRY).tensor(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        return self.value if layer == self.layer else None


def test_integers_that_are_decided_already_are_taken_as_they_are() -> None:
    plan = resolve(named_recipe("int4"), SMALL_GEOMETRY)
    integers = np.arange(96 * 96, dtype=np.int64).reshape(96, 96) % 16 - 8
    decided = QuantizedLinear(integers.astype(np.int8), np.full((96, 3), 1 / 3, np.float32), 4, 32)
    decoder = TextDecoder(plan, 8)
    fill(decoder, Decided("text_decoder.layers.1.q_proj", decided), plan.method)
    weight = decoder.layers[1].before.q.weight
    assert torch.equal(weight.qdata, torch.from_numpy(decided.integers))
    # XNNPACK keeps scales as bfloat16.
    assert torch.equal(weight.scale, torch.full((96, 3), 1 / 3).bfloat16().float())


def test_decided_integers_of_other_bits_than_the_recipes_are_refused() -> None:
    plan = resolve(named_recipe("int8"), SMALL_GEOMETRY)
    decided = QuantizedLinear(np.zeros((96, 96), np.int8), np.ones((96, 3), np.float32), 4, 32)
    decoder = TextDecoder(plan, 8)
    with pytest.raises(RecipeError, match=r"layers\.1\.q_proj was quantized beforehand to 4 bits"):
        fill(decoder, Decided("text_decoder.layers.1.q_proj", decided), plan.method)
