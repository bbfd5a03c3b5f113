"""What the Core ML graphs compute in fp16 by themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.export.coreml.fp16 import ScaledRMSNorm, rotate, signed
from pocketvl.export.coreml.function import stored_quantized
from pocketvl.export.executorch.operators import half_rotation
from pocketvl.export.modules import RMSNorm
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import ExportError

SIZE = 1536


def norm(dtype: torch.dtype) -> ScaledRMSNorm:
    plain = RMSNorm("norm", SIZE, 1e-6)
    plain.weight = torch.nn.Parameter(torch.ones(SIZE), requires_grad=False)
    return ScaledRMSNorm(plain).to(dtype)


def exact(x: torch.Tensor) -> torch.Tensor:
    x = x.double()
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)


@given(st.floats(-12, 15), st.floats(-12, 15.9), st.integers(0, 9))
def test_the_norm_is_right_in_float16(log_size: float, log_outlier: float, seed: int) -> None:
    """Values of any size, with one outlier of any size among them."""
    x = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(seed)) * 2**log_size
    x[:, seed] = 2**log_outlier
    x = x.clamp(-65504, 65504).half()
    wanted = exact(x)
    got = norm(torch.float16)(x).double()
    assert float((got - wanted).norm() / wanted.norm()) < 5e-3


def test_the_norm_of_zeros_is_zero() -> None:
    assert not norm(torch.float16)(torch.zeros(1, SIZE, dtype=torch.float16)).any()


def test_the_norm_is_the_plain_one_in_float32() -> None:
    x = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(torch.float32)(x).double(), exact(x), rtol=1e-5, atol=1e-6)


def test_rotation_is_that_of_the_other_graphs() -> None:
    x, cos, sin = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0)).split(1)
    wanted = x * cos + torch.nn.functional.linear(x, half_rotation(16)) * sin
    torch.testing.assert_close(rotate(x, cos, signed(sin)), wanted)


@given(st.integers(0x3700, 0x4700))  # bfloat16 from 2^-17 to 2^15
def test_scales_of_4_bits_survive_as_float16(upper: int) -> None:
    scale = np.array([[upper << 16]], np.uint32).view(np.float32)
    stored = stored_quantized("x", Precision(4, 32), QuantizedLinear(np.ones((1, 32), np.int8), scale, 4, 32))
    assert stored.scales is not None
    np.testing.assert_array_equal(stored.scales.astype(np.float32), scale)


def test_scales_beyond_float16_are_refused() -> None:
    scale = np.array([[1e5]], np.float32)
    with pytest.raises(ExportError, match=r"scales of the\.layer reach 1e\+05"):
        stored_quantized("the.layer", Precision(8), QuantizedLinear(np.ones((1, 32), np.int8), scale, 8, 32))
