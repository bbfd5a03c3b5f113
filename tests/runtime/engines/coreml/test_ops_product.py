"""Matrix products and attention against torch."""

import numpy as np
import pytest
import torch

from pocketvl.runtime.engines.coreml.ops.product import conv, linear, matmul, scaled_dot_product_attention


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("leading", [(), (5,), (2, 5), (2, 3, 5)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear(leading: tuple[int, ...], with_bias: bool) -> None:
    x, weight = normal(*leading, 7), normal(4, 7, seed=1)
    bias = normal(4) if with_bias else None
    expected = torch.nn.functional.linear(
        torch.from_numpy(x), torch.from_numpy(weight), None if bias is None else torch.from_numpy(bias)
    )
    np.testing.assert_allclose(linear(x, weight, bias), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((3,), (3,)),
        ((2, 3), (3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((6, 2, 3), (5, 6, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
    ],
)
def test_matmul_broadcasts(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    a, b = normal(*x), normal(*y, seed=1)
    expected = torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(matmul(a, b), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        matmul(
            np.ascontiguousarray(a.swapaxes(-1, -2)) if a.ndim > 1 else a,
            np.ascontiguousarray(b.swapaxes(-1, -2)) if b.ndim > 1 else b,
            np.bool_(True),
            np.bool_(True),
        ),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("spatial", [(5,), (5, 4), (2, 3, 4)])
def test_pointwise_conv(spatial: tuple[int, ...]) -> None:
    x, weight, bias = normal(2, 3, *spatial), normal(4, 3, *[1] * len(spatial)), normal(4)
    function = (torch.conv1d, torch.conv2d, torch.conv3d)[len(spatial) - 1]
    expected = function(torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias)).numpy()
    np.testing.assert_allclose(conv(x, weight, bias=bias), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"weight": normal(4, 3, 2, 1)},
        {"strides": np.array([2, 1])},
        {"pad_type": "custom", "pad": np.array([0, 1, 0, 0])},
        {"groups": np.int32(3)},
    ],
)
def test_other_conv_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="only kernels of size 1"):
        conv(**{"x": normal(1, 3, 4, 4), "weight": normal(4, 3, 1, 1), **options})


@pytest.mark.parametrize(
    ("query", "keys", "mask"),
    [
        ((1, 5, 8), 7, None),
        ((1, 2, 5, 8), 5, (5, 5)),
        ((2, 3, 4, 8), 9, (1, 1, 4, 9)),
        ((2, 3, 4, 8), 9, (9,)),
    ],
)
@pytest.mark.parametrize("boolean", [False, True])
def test_attention(query: tuple[int, ...], keys: int, mask: tuple[int, ...] | None, boolean: bool) -> None:
    q = normal(*query)
    k, v = normal(*query[:-2], keys, query[-1], seed=1), normal(*query[:-2], keys, 6, seed=2)
    bias = None
    if mask is not None:
        bias = normal(*mask) > -0.8 if boolean else normal(*mask) * 3
        if boolean:
            bias[..., 0] = True  # a query that sees nothing has no result
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.from_numpy, (q, k, v)),
        attn_mask=None if bias is None else torch.from_numpy(np.atleast_2d(bias)),
    )
    np.testing.assert_allclose(
        scaled_dot_product_attention(q, k, v, bias), expected.numpy(), rtol=1e-5, atol=1e-6
    )


def test_attention_over_hidden_slots_does_not_see_them() -> None:
    q, k, v = normal(1, 1, 2, 8), normal(1, 1, 6, 8, seed=1), normal(1, 1, 6, 8, seed=2)
    mask = np.where(np.arange(6) < 4, 0, -3e4).astype(np.float32)
    shown = scaled_dot_product_attention(q, k[:, :, :4], v[:, :, :4])
    k[:, :, 4:], v[:, :, 4:] = 100, 100
    np.testing.assert_allclose(scaled_dot_product_attention(q, k, v, mask), shown, rtol=1e-6)
