"""Which packed layers stand as they are, and what it costs where they do not."""

import numpy as np
import pytest
import torch

from pocketvl.quant.packed.affine import make_grid
from pocketvl.quant.packed.fit import fitting_bits, in_groups
from pocketvl.quant.packed.weight_error import WeightError, describe_weight_errors, measure_weight_error
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision


@pytest.mark.parametrize(
    ("bits", "group_size", "in_features", "wanted"),
    [
        (4, 128, 1536, Precision(4, 128)),
        (4, 64, 192, Precision(4, 64)),
        (4, 1536, 1536, Precision(4, 128)),  # one group a row
        (4, 96, 96, Precision(4, 32)),
        (4, 128, 160, Precision(4, 32)),  # a last group of 32
        (4, 128, 176, None),  # a last group of 48
        (4, 16, 160, None),
        (4, 48, 96, None),
        (8, 128, 1536, None),
        (8, 1536, 1536, Precision(8)),
    ],
)
def test_what_stands(bits: int, group_size: int, in_features: int, wanted: Precision | None) -> None:
    groups = -(-in_features // group_size)
    zeros = np.full((2, groups), 1 << (bits - 1), np.uint8)
    scales = np.ones((2, groups), np.float32)
    assert fitting_bits(make_grid(zeros, scales, bits, group_size, in_features), in_features) == wanted
    zeros[1, -1] += 1
    assert fitting_bits(make_grid(zeros, scales, bits, group_size, in_features), in_features) is None


def test_smaller_groups_hold_the_same_weights() -> None:
    integers = (np.arange(2 * 256).reshape(2, 256) % 16 - 8).astype(np.int8)
    linear = QuantizedLinear(integers, np.array([[0.5], [0.25]], np.float32), 4, 256)
    smaller = in_groups(linear, Precision(4, 128))
    assert smaller.integers is linear.integers
    assert smaller.scales.tolist() == [[0.5, 0.5], [0.25, 0.25]]
    assert np.array_equal(smaller.dequantize(), linear.dequantize())
    assert in_groups(smaller, Precision(4, 128)) is smaller


def test_damage_is_the_relative_error_of_the_weights() -> None:
    weight = torch.randn(1300, 64, generator=torch.Generator().manual_seed(0))
    quantized = quantize_linear(weight, Precision(4, 32), "rtn", "x")
    off = quantized.dequantize().astype(np.float64) - weight.numpy()
    wanted = np.linalg.norm(off) / np.linalg.norm(weight.numpy())
    assert measure_weight_error("x", weight, quantized).relative_error == pytest.approx(wanted, rel=1e-6)
    assert 0.05 < wanted < 0.2


def test_no_weight_error() -> None:
    weight = torch.zeros(3, 64)
    assert measure_weight_error(
        "x", weight, quantize_linear(weight, Precision(8), "rtn", "x")
    ) == WeightError("x", 0.0)


def test_the_report_names_the_worst_layer() -> None:
    sentence = describe_weight_errors(
        [WeightError("a", 0.01), WeightError("b", 0.05), WeightError("c", 0.03)]
    )
    assert "quantized again: 3." in sentence
    assert "3.00 % on average" in sentence
    assert "5.00 % at most (b)" in sentence
