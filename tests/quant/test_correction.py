"""A corrected weight gives what the float model's would have, as far as its inputs tell."""

import torch

from pocketvl.quant.correction import Correction
from pocketvl.quant.gptq import gptq
from pocketvl.quant.hessian import factorize, second_moments
from pocketvl.quant.recipe import Precision
from tests.quant.test_gptq import inputs


def behind(x: torch.Tensor, seed: int) -> torch.Tensor:
    """x as rounded layers before would have left it: mixed a little, and with noise."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(x.shape[1]) + 0.1 * torch.randn(x.shape[1], x.shape[1], generator=generator) / 8
    return x @ mix + 0.02 * x.std() * torch.randn(x.shape, generator=generator)


def test_it_goes_towards_the_least_squares_solution() -> None:
    exact = inputs(2000, 64)
    seen = behind(exact, 1)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(16, 64, generator=generator)
    tokens = torch.rand(2000, generator=generator) + 0.5
    factor = factorize(second_moments(seen, tokens, "x"), 32, 1e-6, "x")
    correction = Correction.of(exact, seen, seen, tokens)
    root = tokens.sqrt()[:, None].double()
    wanted = root * (exact @ weight.T).double()
    solution = torch.linalg.lstsq(root * seen.double(), wanted).solution.T
    most = float(solution.abs().max())
    assert float((solution - weight).abs().max()) > 0.05 * most
    for share in (0.0, 0.5, 1.0):
        corrected = correction.apply(weight, factor, share).double()
        assert torch.allclose(corrected, weight + share * (solution - weight), atol=2e-2 * most)


def test_equal_inputs_leave_the_weight_alone() -> None:
    x, weight = inputs(500, 64), torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    factor = factorize(second_moments(x, torch.ones(500), "x"), 64, 0.01, "x")
    noisy = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(Correction.of(x, x, noisy, torch.ones(500)).apply(weight, factor, 1.0), weight)


def test_rounding_it_is_nearer_than_rounding_the_weight() -> None:
    exact = inputs(2000, 128)
    seen = behind(exact, 3)
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(1))
    tokens, precision = torch.ones(2000), Precision(4, 32)
    factor = factorize(second_moments(seen, tokens, "x"), 32, 0.01, "x")
    errors = []
    for share in (0.0, 0.5, 1.0):
        target = Correction.of(exact, seen, seen, tokens).apply(weight, factor, share)
        rounded = torch.from_numpy(gptq(target, factor, precision).dequantize())
        errors.append(float((seen @ rounded.T - exact @ weight.T).square().mean()))
    assert errors[2] < errors[1] < 0.85 * errors[0]
