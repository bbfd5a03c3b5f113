"""A corrected weight gives what the float model's would have, as far as its inputs tell."""

import pytest
import torch

from pocketvl.quant.correction import Correction, Wanted
from pocketvl.quant.gptq import gptq
from pocketvl.quant.hessian import factorize, second_moments
from pocketvl.quant.recipe import Precision
from tests.quant.test_gptq import inputs


def behind(x: torch.Tensor, seed: int) -> torch.Tensor:
    """x as rounded layers before would have left it: mixed a little, and with noise."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(x.shape[1]) + 0.1 * torch.randn(x.shape[1], x.shape[1], generator=generator) / 8
    return x @ mix + 0.02 * x.std() * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize("adds", [False, True])
def test_it_is_the_least_squares_solution(adds: bool) -> None:
    exact = inputs(2000, 64)
    seen = behind(exact, 1)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(16, 64, generator=generator)
    missing = seen @ torch.randn(64, 16, generator=generator) * 0.01 if adds else None
    tokens = torch.rand(2000, generator=generator) + 0.5
    factor = factorize(second_moments(seen, tokens, "x"), 32, 1e-6, "x")
    corrected = Correction.of(Wanted(exact, missing), seen, tokens).apply(weight, factor)
    wanted = exact @ weight.T + (0 if missing is None else missing)
    root = tokens.sqrt()[:, None].double()
    solution = torch.linalg.lstsq(root * seen.double(), root * wanted.double()).solution.T
    assert torch.allclose(corrected.double(), solution, atol=2e-2 * float(solution.abs().max()))
    assert float((corrected - weight).abs().max()) > 0.05


def test_equal_inputs_leave_the_weight_alone() -> None:
    x, weight = inputs(500, 64), torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    factor = factorize(second_moments(x, torch.ones(500), "x"), 64, 0.01, "x")
    corrected = Correction.of(Wanted(x, torch.zeros(500, 8)), x, torch.ones(500)).apply(weight, factor)
    assert torch.equal(corrected, weight)


def test_rounding_it_is_nearer_than_rounding_the_weight() -> None:
    exact = inputs(2000, 128)
    seen = behind(exact, 3)
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(1))
    tokens, precision = torch.ones(2000), Precision(4, 32)
    factor = factorize(second_moments(seen, tokens, "x"), 32, 0.01, "x")
    errors = []
    for target in (weight, Correction.of(Wanted(exact), seen, tokens).apply(weight, factor)):
        rounded = torch.from_numpy(gptq(target, factor, precision).dequantize())
        errors.append(float((seen @ rounded.T - exact @ weight.T).square().mean()))
    assert errors[1] < 0.7 * errors[0]
