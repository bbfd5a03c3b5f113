"""Rotations are orthogonal, even, and the same every time."""

import math
import pickle

import pytest
import torch

from pocketvl.quant.rotation import Rotation, head_rotation, hidden_rotation

SIZES = [1, 2, 3, 16, 96, 128, 576, 1000, 1536]


@pytest.mark.parametrize("size", SIZES)
def test_orthogonal_and_even(size: int) -> None:
    matrix = Rotation(size, 3).apply(torch.eye(size))
    assert torch.allclose(matrix @ matrix.T, torch.eye(size), atol=1e-5)
    # No entry of the Hadamard factor is larger than any other, and of the cosines by no more than sqrt(2).
    assert matrix.abs().max() <= math.sqrt(2 / size) + 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_undo(size: int) -> None:
    x = torch.randn(2, 5, size, generator=torch.Generator().manual_seed(0))
    rotation = Rotation(size, 0)
    turned = rotation.apply(x)
    assert turned.shape == x.shape
    assert torch.allclose(rotation.undo(turned), x, atol=1e-5)
    assert torch.allclose(turned, x @ rotation.apply(torch.eye(size)), atol=1e-5)


def test_an_outlier_is_spread() -> None:
    x = torch.zeros(1, 1536)
    x[0, 7] = 100.0
    assert Rotation(1536, 0).apply(x).abs().max() < 100 * math.sqrt(2 / 1536) + 1e-3


def test_the_same_for_each_size_and_seed() -> None:
    """Bundles hold rotated weights, and whoever compares them with their checkpoint makes the matrix anew."""
    x = torch.eye(96)
    first = hidden_rotation(96)
    again = pickle.loads(pickle.dumps(first))
    assert torch.equal(first.apply(x), again.apply(x))
    assert torch.equal(first.apply(x), hidden_rotation(96).apply(x))
    assert not torch.equal(first.apply(x), head_rotation(96).apply(x))
    signs = first.apply(x)[:, 0].sign().int().tolist()[:12]
    assert signs == [-1, -1, 1, 1, -1, 1, -1, 1, 1, -1, -1, -1]
