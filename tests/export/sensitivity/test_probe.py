"""A layer's error is estimated as it shows at its output."""

import pytest
import torch

from pocketvl.export.calibration.store import Decisions
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.export.sensitivity.probe import Probe
from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Calibration, Precision
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource

CHOICES = (Precision(4, 64), Precision(4, 32), Precision(8))


class PackedSource(RandomSource):
    def quantized(self, layer: str) -> QuantizedLinear | None:
        return quantize_linear(torch.ones(48, 64), Precision(4, 32), "rtn", layer)


def make_leaf(bias: bool, name: str = "x") -> Linear:
    generator = torch.Generator().manual_seed(1)
    leaf = Linear(Layer(name, name, 48, 64, bias), Precision(32))
    leaf.weight = torch.nn.Parameter(torch.randn(48, 64, generator=generator), requires_grad=False)
    if bias:
        leaf.bias = torch.nn.Parameter(torch.randn(48, generator=generator), requires_grad=False)
    return leaf


def probe(method: str, source: RandomSource | None = None, tied: bool = False) -> Probe:
    choices = {"x": CHOICES, "lm_head": CHOICES}
    source = source or RandomSource(SMALL_GEOMETRY)
    return Probe(source, Calibration(folding=False), Decisions(), frozenset(), method, choices, True, tied)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(300, 64, generator=generator) @ torch.randn(64, 64, generator=generator) + 1
    return x, torch.rand(300, generator=generator)


def test_noise_is_the_share_of_the_outputs_power() -> None:
    leaf, (x, weights), tried = make_leaf(bias=False), inputs(), probe("rtn")
    assert tried.decide([leaf], x, weights) is x
    seen = quantized_activations(x)
    for precision in CHOICES:
        rounded = torch.from_numpy(quantize_linear(leaf.weight, precision, "rtn", "x").dequantize())
        lost = (seen @ (leaf.weight - rounded).T).square().sum(1) @ weights
        power = (seen @ leaf.weight.T).square().sum(1) @ weights
        assert tried.trials.noise["x"][precision] == pytest.approx(float(lost / power), rel=1e-3)


@pytest.mark.parametrize("method", ["rtn", "hqq", "gptq"])
def test_more_bits_make_less_noise(method: str) -> None:
    leaf, (x, weights), tried = make_leaf(bias=True), inputs(), probe(method)
    tried.decide([leaf], x, weights)
    noise = tried.trials.noise["x"]
    assert list(noise) == list(CHOICES)
    assert 0 < 50 * noise[Precision(8)] < noise[Precision(4, 32)] < noise[Precision(4, 64)] < 0.1


def test_the_kept_bias_makes_up_for_the_mean_error() -> None:
    leaf, (x, weights), tried = make_leaf(bias=True), inputs(), probe("gptq")
    tried.decide([leaf], x, weights)
    kept, seen = tried.trials.rounded["x"], quantized_activations(x)
    assert tried.trials.tried["x"] == Precision(4, 32)
    assert kept.bias is not None
    assert not torch.equal(kept.weight, leaf.weight)
    error = seen @ kept.weight.T + kept.bias - leaf(seen)
    assert torch.allclose(weights @ error / weights.sum(), torch.zeros(48), atol=1e-3)


def test_rounding_alone_leaves_the_bias() -> None:
    leaf, (x, weights), tried = make_leaf(bias=True), inputs(), probe("rtn")
    tried.decide([leaf], x, weights)
    kept = tried.trials.rounded["x"].bias
    assert kept is not None
    assert leaf.bias is not None
    assert torch.equal(kept, leaf.bias)


def test_weights_of_zeros_lose_nothing() -> None:
    leaf, (x, weights), tried = make_leaf(bias=False, name="lm_head"), inputs(), probe("gptq", tied=True)
    leaf.weight.data.zero_()
    tried.decide([leaf], x, weights)
    assert tried.trials.noise["lm_head"] == dict.fromkeys(CHOICES, 0.0)


def test_a_tied_heads_own_error_counts_as_well() -> None:
    leaf, (x, weights) = make_leaf(bias=False, name="lm_head"), inputs()
    alone, tied = probe("rtn"), probe("rtn", tied=True)
    for tried in (alone, tied):
        tried.decide([leaf], x, weights)
    rounded = torch.from_numpy(quantize_linear(leaf.weight, Precision(8), "rtn", "x").dequantize())
    own = float((leaf.weight - rounded).square().sum() / leaf.weight.square().sum())
    more = tied.trials.noise["lm_head"][Precision(8)] - alone.trials.noise["lm_head"][Precision(8)]
    assert more == pytest.approx(own, rel=1e-3)


def test_integers_of_the_checkpoint_are_no_error() -> None:
    leaf, (x, weights), tried = make_leaf(bias=False), inputs(), probe("gptq", PackedSource(SMALL_GEOMETRY))
    tried.decide([leaf], x, weights)
    assert tried.trials.noise["x"] == dict.fromkeys(CHOICES, 0.0)
    assert not tried.trials.rounded


def test_weights_that_are_not_finite_are_refused() -> None:
    leaf, (x, weights) = make_leaf(bias=False), inputs()
    leaf.weight.data[3, 4] = torch.inf
    with pytest.raises(CheckpointError, match="the weight of x holds NaN or infinite"):
        probe("gptq").decide([leaf], x, weights)
