"""Orthogonal matrices that spread what stands out in a few features over all of them.

Rotating the hidden states of a transformer and folding the rotation into the weights around them leaves what
it computes as it is, but its activations lose their outliers (QuaRot, arXiv 2404.00456; SpinQuant, arXiv
2405.16406). Sizes need not be powers of two: the matrix is a Kronecker product of a Hadamard matrix and a
cosine transform of the odd factor that is left, with random signs.
"""

import math
from random import Random

import torch

_ROWS = 2048  # at a time: a table of embeddings takes no more memory than itself and its rotation
_LARGEST = 64  # of a Hadamard factor: larger ones are products of these, which are applied one by one


class Rotation:
    """An orthogonal matrix R (size, size), the same for each size and seed. Pickles."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        draw = Random(seed)  # of which Python promises the same numbers in every version
        self._signs = torch.tensor([1.0 if draw.random() < 0.5 else -1.0 for _ in range(size)])
        power = size & -size
        self._factors = [_cosines(size // power)] if power < size else []
        while power > 1:
            own = min(power, _LARGEST)
            self._factors.append(_hadamard(own))
            power //= own

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """x R for x (..., size) of any float dtype, float32."""
        rows = x.reshape(-1, self.size)
        rotated = torch.empty(rows.shape)
        for first in range(0, len(rows), _ROWS):
            some = rows[first : first + _ROWS].float() * self._signs
            for factor in self._factors:
                some = _along_first(some, factor)
            rotated[first : first + _ROWS] = some
        return rotated.view(x.shape)

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        """x R^T for x (..., size), float32: the inverse of apply."""
        rotated = x.reshape(-1, self.size).contiguous()
        for factor in self._factors:
            rotated = _along_first(rotated, factor.T)
        return (rotated * self._signs).view(x.shape)


def hidden_rotation(hidden_size: int) -> Rotation:
    """Of the hidden states of every rotated model of that width."""
    return Rotation(hidden_size, seed=0)


def head_rotation(head_dim: int) -> Rotation:
    """Of the values within each attention head."""
    return Rotation(head_dim, seed=1)


def _along_first(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply the outermost axis of x (rows, n * m) by factor (n, n) and put it behind the others, so that
    axes are in their order again once each had its turn."""
    return (x.view(len(x), len(factor), -1).transpose(1, 2) @ factor).reshape(x.shape)


def _hadamard(size: int) -> torch.Tensor:
    """Sylvester's, orthonormal; size a power of two."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix / math.sqrt(size)


def _cosines(size: int) -> torch.Tensor:
    """The orthonormal discrete cosine transform of type II: as even as a real matrix of any size can be."""
    place = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(torch.pi / size * (place + 0.5) * place[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
