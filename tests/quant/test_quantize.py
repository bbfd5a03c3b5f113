"""What rounding guarantees, for any weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pocketvl.quant.hqq import hqq_scales
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.quant.rtn import nearest_integers, rtn_scales
from pocketvl.runtime.errors import CheckpointError, RecipeError

PRECISIONS = [Precision(8), Precision(4, 32), Precision(4, 64)]
METHODS = ["rtn", "hqq"]
weights = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.sampled_from([64, 128])),
    elements=st.floats(-100, 100, width=32),
)


@settings(max_examples=60)
@given(weights, st.sampled_from(PRECISIONS))
def test_rtn_is_at_most_half_a_step_off(weight: np.ndarray, precision: Precision) -> None:
    quantized = quantize_linear(torch.from_numpy(weight), precision, "rtn", "x")
    step = np.repeat(quantized.scales, quantized.group_size, axis=1)
    assert np.all(np.abs(quantized.dequantize() - weight) <= step * 0.5 * (1 + 1e-5) + 1e-30)


@settings(max_examples=60)
@given(weights, st.sampled_from(PRECISIONS))
def test_hqq_never_has_the_larger_squared_error(weight: np.ndarray, precision: Precision) -> None:
    tensor = torch.from_numpy(weight)
    errors = []
    for method in METHODS:
        quantized = quantize_linear(tensor, precision, method, "x")
        off = (quantized.dequantize().astype(np.float64) - weight) ** 2
        errors.append(off.reshape(len(weight), -1, quantized.group_size).sum(-1))
    assert np.all(errors[1] <= errors[0] * (1 + 1e-4) + 1e-30)


@settings(max_examples=30)
@given(weights, st.sampled_from(PRECISIONS), st.sampled_from(METHODS))
def test_rows_do_not_depend_on_each_other(weight: np.ndarray, precision: Precision, method: str) -> None:
    whole = quantize_linear(torch.from_numpy(weight), precision, method, "x")
    last = quantize_linear(torch.from_numpy(weight[-1:]), precision, method, "x")
    assert np.array_equal(whole.integers[-1:], last.integers)
    assert np.array_equal(whole.scales[-1:], last.scales)


def test_hqq_is_clearly_better_on_bell_shaped_weights() -> None:
    torch.manual_seed(0)
    groups = torch.randn(64, 16, 32)

    def error(scales: torch.Tensor) -> float:
        return float((nearest_integers(groups, scales, 4) * scales[..., None] - groups).square().mean())

    assert error(hqq_scales(groups, 4)) < 0.93 * error(rtn_scales(groups, 4))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("method", METHODS)
def test_rows_of_zeros_and_tiny_values(precision: Precision, method: str) -> None:
    weight = torch.zeros(3, 64)
    weight[1] = 1e-42
    weight[2, 0] = 3e38
    quantized = quantize_linear(weight, precision, method, "x")
    assert not quantized.integers[:2].any()
    assert quantized.dequantize()[2, 0] == pytest.approx(3e38, rel=0.08)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_read_exactly(dtype: torch.dtype, method: str) -> None:
    weight = torch.randn(4, 64).to(dtype)
    first, second = (quantize_linear(w, Precision(4, 32), method, "x") for w in (weight, weight.float()))
    assert np.array_equal(first.integers, second.integers)


def test_integers_are_chosen_for_the_scale_that_is_stored() -> None:
    quantized = quantize_linear(torch.randn(8, 64), Precision(4, 32), "rtn", "x")
    again = torch.from_numpy(quantized.scales).bfloat16().float().numpy()
    assert np.array_equal(again, quantized.scales)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_no_numbers_name_the_layer(value: float) -> None:
    weight = torch.zeros(700, 64)
    weight[699, 3] = value
    with pytest.raises(CheckpointError, match=r"layers\.3\.up_proj"):
        quantize_linear(weight, Precision(8), "rtn", "text_decoder.layers.3.up_proj")


def test_refusals() -> None:
    weight = torch.zeros(2, 48)
    with pytest.raises(RecipeError, match="some_layer has 48 inputs"):
        quantize_linear(weight, Precision(4, 32), "rtn", "some_layer")
    with pytest.raises(RecipeError, match="alone"):
        quantize_linear(weight, Precision(8), "magic", "some_layer")
    with pytest.raises(ValueError, match="stay in float"):
        quantize_linear(weight, Precision(32), "rtn", "some_layer")
    with pytest.raises(ValueError, match="some_layer"):
        quantize_linear(weight[0], Precision(8), "rtn", "some_layer")


def quantized_linear(**changes: object) -> QuantizedLinear:
    parts: dict[str, object] = {
        "integers": np.zeros((2, 64), np.int8),
        "scales": np.ones((2, 2), np.float32),
        "bits": 4,
        "group_size": 32,
    }
    return QuantizedLinear(**{**parts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 5}, "bits must be"),
        ({"integers": np.zeros((2, 64), np.int16)}, "must be int8"),
        ({"integers": np.full((2, 64), 8, np.int8)}, "-8..7"),
        ({"group_size": 48}, "does not divide"),
        ({"scales": np.ones((2, 1), np.float32)}, "scales must be float32"),
        ({"scales": np.ones((2, 2), np.float64)}, "scales must be float32"),
        ({"scales": np.zeros((2, 2), np.float32)}, "finite and positive"),
        ({"scales": np.full((2, 2), np.nan, np.float32)}, "finite and positive"),
    ],
)
def test_the_representation_is_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantized_linear(**changes)


def test_dequantize() -> None:
    linear = quantized_linear(integers=np.full((2, 64), 3, np.int8), scales=np.full((2, 2), 0.5, np.float32))
    assert linear.dequantize().tolist() == [[1.5] * 64] * 2
    assert not linear.per_channel
