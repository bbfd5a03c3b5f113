"""What calibrated rounding promises: storable integers, and less error where inputs are strong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.folding import folding_scales
from pocketvl.quant.gptq import best_scales, gptq
from pocketvl.quant.hessian import factorize, second_moments
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.quant.rtn import nearest_integers, rtn_scales
from pocketvl.runtime.errors import CalibrationError

PRECISIONS = [Precision(4, 32), Precision(4, 64), Precision(4, 128), Precision(8)]


def inputs(tokens: int, features: int, seed: int = 0) -> torch.Tensor:
    """Correlated, and some features much stronger than others, as activations are."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(features // 4, features, generator=generator)
    strength = torch.exp(torch.randn(features, generator=generator))
    noise = torch.randn(tokens, features, generator=generator)
    return (torch.randn(tokens, features // 4, generator=generator) @ mix + 0.2 * noise) * strength


def output_error(x: torch.Tensor, weight: torch.Tensor, quantized: QuantizedLinear) -> float:
    return float(((x @ (torch.from_numpy(quantized.dequantize()) - weight).T) ** 2).mean())


def calibrated(weight: torch.Tensor, x: torch.Tensor, precision: Precision) -> QuantizedLinear:
    moments = second_moments(x, torch.ones(len(x)), "x")
    return gptq(weight, factorize(moments, precision.group_size or weight.shape[1], 0.01, "x"), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(48, 128), (5, 384)])
def test_output_errors_are_a_fraction_of_roundings(precision: Precision, shape: tuple[int, int]) -> None:
    x, weight = inputs(1500, shape[1]), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours = calibrated(weight, x, precision)
    assert (ours.bits, ours.group_size) == (precision.bits, precision.group_size or shape[1])
    rounded = output_error(x, weight, quantize_linear(weight, precision, "rtn", "x"))
    assert output_error(x, weight, ours) < 0.5 * rounded


@pytest.mark.parametrize("precision", PRECISIONS)
def test_uncorrelated_equal_inputs_leave_nothing_to_pass_on(precision: Precision) -> None:
    weight = torch.randn(7, 256, generator=torch.Generator().manual_seed(2))
    factor = factorize(torch.eye(256), precision.group_size or 256, 0.01, "x")
    quantized = gptq(weight, factor, precision)
    groups = weight.view(7, -1, quantized.group_size)
    nearest = nearest_integers(groups, torch.from_numpy(quantized.scales), precision.bits)
    assert np.array_equal(quantized.integers, nearest.view_as(weight).numpy().astype(np.int8))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scales_are_storable_and_rows_independent(precision: Precision) -> None:
    x, weight = inputs(600, 256), torch.randn(9, 256, generator=torch.Generator().manual_seed(3))
    whole, last = calibrated(weight, x, precision), calibrated(weight[-1:].clone(), x, precision)
    assert np.array_equal(whole.integers[-1:], last.integers)
    if precision.bits == 4:
        scales = torch.from_numpy(whole.scales)
        assert torch.equal(scales.bfloat16().float(), scales)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([32, 64]))
def test_searched_scales_never_do_worse_than_the_largest_weights(seed: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randn(4, 2, size, generator=generator) ** 3
    importance = torch.rand(2, size, generator=generator) + 0.01

    def error(scales: torch.Tensor) -> torch.Tensor:
        off = groups - nearest_integers(groups, scales, 4) * scales[..., None]
        return (off.square() * importance).sum(-1)

    # A fitted scale is judged by the integers it was fitted to; rounding again can only improve on them.
    assert (error(best_scales(groups, importance, 4)) <= error(rtn_scales(groups, 4)) * (1 + 1e-5)).all()


def test_dead_inputs_and_few_tokens_are_survived() -> None:
    x = inputs(20, 128)
    x[:, 5] = 0
    quantized = calibrated(
        torch.randn(3, 128, generator=torch.Generator().manual_seed(4)), x, Precision(4, 32)
    )
    assert np.isfinite(quantized.dequantize()).all()
    silent = calibrated(torch.ones(3, 128), torch.zeros(20, 128), Precision(4, 32))
    assert np.allclose(silent.dequantize(), 1, rtol=0.02)


def test_second_moments_weigh_tokens() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    moments = second_moments(x, torch.tensor([1.0, 3.0]), "x")
    assert torch.allclose(moments, torch.tensor([[28 / 4, 2 / 4], [2 / 4, 4 / 4]]))


def test_second_moments_of_many_features_and_tokens() -> None:
    x = torch.randn(5000, 1100, generator=torch.Generator().manual_seed(8))
    weights = torch.rand(5000, generator=torch.Generator().manual_seed(9))
    moments = second_moments(x, weights, "x")
    right = (x.double() * weights[:, None]).T @ x.double() / weights.sum()
    assert torch.allclose(moments.double(), right, atol=1e-5)
    assert torch.equal(moments, moments.T)


def test_unusable_inputs_name_the_layer() -> None:
    with pytest.raises(CalibrationError, match=r"layers\.3\.up_proj are NaN or infinite"):
        second_moments(torch.full((4, 8), torch.nan), torch.ones(4), "layers.3.up_proj")
    with pytest.raises(CalibrationError, match="no token of the calibration data counts for q"):
        second_moments(torch.ones(4, 8), torch.zeros(4), "q")
    indefinite = torch.eye(64)
    indefinite[0, 1] = indefinite[1, 0] = 5
    with pytest.raises(CalibrationError, match=r"o_proj's inputs are singular.*larger damping than 0\.01"):
        factorize(indefinite, 32, 0.01, "o_proj")


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_rounded_activations_are_at_most_half_a_level_off_and_keep_zero(seed: int, size: float) -> None:
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed)) * size
    x[0] = x[0].abs()
    x[1, 7] = 0
    rounded = quantized_activations(x)
    level = (x.amax(1).clamp_min(0) - x.amin(1).clamp_max(0)) / 255
    # The zero point is rounded as well, so the ends of the range may lose half a level more.
    assert ((rounded - x).abs() <= level[:, None] * 1.01).all()
    assert rounded[1, 7] == 0
    assert torch.equal(quantized_activations(torch.zeros(2, 8)), torch.zeros(2, 8))


def test_folding_pays_for_outliers_and_not_without_them() -> None:
    x = inputs(400, 128)
    x[:, 3] *= 60
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(6))
    ones, precision = torch.ones(len(x)), Precision(4, 32)
    scales = folding_scales(x, ones, [(weight, precision)])
    assert scales is not None
    assert (scales > 0).all()
    assert scales.argmax() == 3

    def output_error(scales: torch.Tensor) -> float:
        rounded = quantize_linear(weight * scales, precision, "rtn", "x").dequantize()
        return float((quantized_activations(x / scales) @ torch.from_numpy(rounded).T - x @ weight.T).norm())

    assert output_error(scales) < 0.8 * output_error(torch.ones(128))
    same = torch.ones(400, 128) * torch.randn(400, 1, generator=torch.Generator().manual_seed(7))
    assert folding_scales(same, ones, [(weight, precision)]) is None
