"""Refining never makes a row worse, finds what brute force finds, and keeps integers and scales storable."""

from itertools import product

import pytest
import torch

from pocketvl.quant.gptq import gptq
from pocketvl.quant.hessian import factorize, second_moments
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.quant.refine import refine
from tests.quant.test_gptq import inputs

PRECISIONS = [Precision(4, 32), Precision(4, 128), Precision(8)]


def row_errors(weight: torch.Tensor, quantized: QuantizedLinear, moments: torch.Tensor) -> torch.Tensor:
    error = (torch.from_numpy(quantized.dequantize()) - weight).double()
    return ((error @ moments.double()) * error).sum(1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("start", ["gptq", "rtn"])
def test_no_row_gets_worse_and_all_together_better(precision: Precision, start: str) -> None:
    x, weight = inputs(1500, 256), torch.randn(300, 256, generator=torch.Generator().manual_seed(1))
    moments = second_moments(x, torch.ones(len(x)), "x")
    damped = moments + 0.01 * moments.diagonal().mean() * torch.eye(256)
    if start == "gptq":
        before = gptq(weight, factorize(moments, precision.group_size or 256, 0.01, "x"), precision)
    else:
        before = quantize_linear(weight, precision, "rtn", "x")
    after = refine(weight, before, moments, 0.01)
    assert (after.bits, after.group_size) == (before.bits, before.group_size)
    old, new = (row_errors(weight, one, damped) for one in (before, after))
    assert (new <= old * (1 + 1e-4)).all()
    most = (0.97 if precision.bits == 4 else 0.999) if start == "gptq" else 0.6
    assert new.sum() < most * old.sum()


def test_scales_are_those_that_are_stored() -> None:
    x, weight = inputs(500, 64), torch.randn(9, 64, generator=torch.Generator().manual_seed(1))
    moments = second_moments(x, torch.ones(len(x)), "x")
    before = quantize_linear(weight, Precision(4, 32), "rtn", "x")
    after = torch.from_numpy(refine(weight, before, moments, 0.01).scales)
    assert torch.equal(after, after.bfloat16().float())
    assert not torch.equal(after, torch.from_numpy(before.scales))


def test_integers_are_a_minimum_of_each_column() -> None:
    """With scales that cannot change, no single integer could be better."""
    x = inputs(500, 32, 3)
    moments = second_moments(x, torch.ones(len(x)), "x")
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(2))
    quantized = quantize_linear(weight, Precision(4, 32), "rtn", "x")
    for _ in range(8):
        quantized = refine(weight, quantized, moments, 1e-6)
    least = row_errors(weight, quantized, moments)
    for column, step in product(range(32), (-1, 1)):
        other = quantized.integers.copy()
        other[:, column] = (other[:, column] + step).clip(-8, 7)
        changed = QuantizedLinear(other, quantized.scales, 4, 32)
        assert (row_errors(weight, changed, moments) >= least * (1 - 1e-3)).all()


def test_inputs_that_are_always_zero() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    before = quantize_linear(weight, Precision(4, 32), "rtn", "x")
    after = refine(weight, before, torch.zeros(64, 64), 0.01)
    identity = torch.eye(64)
    assert (row_errors(weight, after, identity) <= row_errors(weight, before, identity) * 1.0001).all()
