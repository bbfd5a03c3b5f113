"""Element-wise ops against torch, over shapes that broadcast."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pocketvl.runtime.engines.coreml.ops.arithmetic import cast, gelu, select
from pocketvl.runtime.engines.coreml.ops.table import OPS

PAIRS = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((5,), ())]
FLOATING = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "real_div": torch.true_divide,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
}
UNARY = {
    "abs": torch.abs,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "sin": torch.sin,
    "square": torch.square,
    "tanh": torch.tanh,
}


def values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    # Quarters, so that comparisons meet equal numbers, too.
    return np.asarray(np.random.default_rng(seed).integers(-12, 13, shape) / 4, np.float32)


@pytest.mark.parametrize("shapes", PAIRS)
@pytest.mark.parametrize("op", FLOATING)
def test_binary(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    x, y = (values(shape, seed) for seed, shape in enumerate(shapes))
    if op in ("real_div", "floor_div", "mod"):
        y = np.asarray(y + np.float32(0.125))  # never 0
    expected = FLOATING[op](torch.from_numpy(x), torch.from_numpy(y)).numpy()
    actual = OPS[op](x=x, y=y)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "floor_div", "mod", "maximum", "greater_equal"])
def test_binary_of_integers(op: str) -> None:
    x, y = np.arange(-6, 6, dtype=np.int32).reshape(3, 4), np.array([1, -2, 3, 5], np.int32)
    actual = OPS[op](x=x, y=y)
    expected = FLOATING[op](torch.from_numpy(x), torch.from_numpy(y)).numpy()
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    x = np.linspace(-5, 5, 60, dtype=np.float32).reshape(3, 4, 5)
    np.testing.assert_allclose(OPS[op](x=x), UNARY[op](torch.from_numpy(x)).numpy(), rtol=2e-6, atol=3e-7)


def test_pow_and_roots() -> None:
    x = np.linspace(0.1, 9, 12, dtype=np.float32).reshape(3, 4)
    exponent = np.array([0.5, 2, -1, 3], np.float32)
    np.testing.assert_allclose(
        OPS["pow"](x=x, y=exponent),
        [[a**b for a, b in zip(r, exponent, strict=True)] for r in x.astype(float)],
        rtol=1e-5,
    )
    np.testing.assert_allclose(OPS["sqrt"](x=x), [[math.sqrt(a) for a in row] for row in x], rtol=1e-6)
    np.testing.assert_allclose(OPS["rsqrt"](x=x), [[1 / math.sqrt(a) for a in row] for row in x], rtol=1e-6)


def test_rsqrt_adds_its_epsilon_to_the_square() -> None:
    zero = np.zeros(1, np.float32)
    assert OPS["rsqrt"](x=zero, epsilon=np.float32(0.25)) == pytest.approx(2)
    assert OPS["rsqrt"](x=zero) == pytest.approx(1e6)


@pytest.mark.parametrize(("mode", "approximate"), [("EXACT", "none"), ("TANH_APPROXIMATION", "tanh")])
def test_gelu(mode: str, approximate: str) -> None:
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(x), approximate=approximate).numpy()
    np.testing.assert_allclose(gelu(x, mode), expected, rtol=1e-4, atol=1e-6)


def test_gelu_by_sigmoid_and_unknown() -> None:
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    expected = [a / (1 + math.exp(-1.702 * a)) for a in x.tolist()]
    np.testing.assert_allclose(gelu(x, "SIGMOID_APPROXIMATION"), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="'ERF'"):
        gelu(x, "ERF")


def test_sigmoid_of_large_numbers_is_0_and_1() -> None:
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(OPS["sigmoid"](x=np.array([-1e5, 1e5], np.float32)), [0, 1])


@given(hnp.arrays(bool, (3, 1)), st.integers(-5, 5), hnp.arrays(np.int32, (2, 1, 4)))
def test_select_broadcasts(cond: np.ndarray, a: int, b: np.ndarray) -> None:
    expected = torch.where(torch.from_numpy(cond), torch.tensor(a, dtype=torch.int32), torch.from_numpy(b))
    np.testing.assert_array_equal(select(cond, np.int32(a), b), expected.numpy())


def test_cast() -> None:
    x = np.array([-1.7, -0.2, 0, 0.9, 2.5], np.float32)
    assert cast(x, "int32").tolist() == [-1, 0, 0, 0, 2]
    assert cast(x, "bool").tolist() == [True, True, False, True, True]
    assert cast(np.array([1, 0]), "fp16").dtype == np.float32  # rounded by the runner where that is asked for
    with pytest.raises(ValueError, match="bf16"):
        cast(x, "bf16")


def test_clip_and_logic() -> None:
    x = np.array([-2, 0.5, 3], np.float32)
    assert OPS["clip"](x=x, alpha=np.float32(-1), beta=np.float32(1)).tolist() == [-1, 0.5, 1]
    a, b = np.array([True, True, False]), np.array([True, False, False])
    assert OPS["logical_and"](x=a, y=b).tolist() == [True, False, False]
    assert OPS["logical_or"](x=a, y=b).tolist() == [True, True, False]
    assert OPS["logical_not"](x=a).tolist() == [False, False, True]
