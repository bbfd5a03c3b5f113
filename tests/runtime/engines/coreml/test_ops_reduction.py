"""Reductions, softmax and layer norm against torch."""

import numpy as np
import pytest
import torch

from pocketvl.runtime.engines.coreml.ops.reduction import layer_norm, softmax
from pocketvl.runtime.engines.coreml.ops.table import OPS

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
TORCH = {
    "reduce_mean": torch.mean,
    "reduce_sum": torch.sum,
    "reduce_max": torch.amax,
    "reduce_min": torch.amin,
}


@pytest.mark.parametrize("op", TORCH)
@pytest.mark.parametrize("axes", [(-1,), (0,), (1, -1), (3, 0), None])
@pytest.mark.parametrize("keep", [False, True])
def test_reductions(op: str, axes: tuple[int, ...] | None, keep: bool) -> None:
    expected = TORCH[op](torch.from_numpy(X), dim=axes or (0, 1, 2, 3), keepdim=keep).numpy()
    given = None if axes is None else np.array(axes, np.int32)
    actual = OPS[op](x=X, axes=given, keep_dims=np.bool_(keep))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_softmax(axis: int) -> None:
    before = X.copy()
    expected = torch.softmax(torch.from_numpy(X), axis).numpy()
    np.testing.assert_allclose(softmax(X, np.int32(axis)), expected, rtol=1e-5)
    np.testing.assert_array_equal(X, before)


def test_softmax_of_large_numbers() -> None:
    np.testing.assert_array_equal(softmax(np.array([1e5, -1e5, 1e5], np.float32)), [0.5, 0, 0.5])


@pytest.mark.parametrize("axes", [(-1,), (2, 3), (-1, -2), (1, 2, 3)])
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(axes: tuple[int, ...], affine: bool) -> None:
    shape = tuple(X.shape[axis] for axis in sorted(axis % 4 for axis in axes))
    gamma, beta = (
        (np.random.default_rng(seed).normal(size=shape).astype(np.float32) if affine else None)
        for seed in (1, 2)
    )
    tensors = [None if array is None else torch.from_numpy(array) for array in (gamma, beta)]
    expected = torch.nn.functional.layer_norm(torch.from_numpy(X), shape, *tensors, eps=1e-3).numpy()
    actual = layer_norm(X, np.array(axes, np.int32), gamma, beta, np.float32(1e-3))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_over_an_inner_axis() -> None:
    gamma = np.array([1, 2, 3], np.float32)
    moved = torch.nn.functional.layer_norm(
        torch.from_numpy(X).movedim(1, -1), (3,), torch.from_numpy(gamma)
    ).movedim(-1, 1)
    np.testing.assert_allclose(
        layer_norm(X, np.array([1], np.int32), gamma), moved.numpy(), rtol=1e-4, atol=1e-5
    )
