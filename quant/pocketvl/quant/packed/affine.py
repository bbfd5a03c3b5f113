"""What GPTQ and AWQ store once unpacked: unsigned codes with a zero point and a scale per group of inputs."""

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.quantized import QuantizedLinear


@dataclass(frozen=True)
class Grid:
    """The values that codes stand for: (code - zeros[o, g]) * scales[o, g].

    zeros: uint8 (out, groups), in 0..2^bits - 1. scales: float32 (out, groups), finite. group_size divides
    the inputs of the layer.
    """

    zeros: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    group_size: int

    @property
    def symmetric(self) -> bool:
        """Whether a QuantizedLinear holds the same values. Scales below zero, which some quantizers choose
        to reach the unused end of the range, have no such form."""
        return bool((self.zeros == 1 << (self.bits - 1)).all() and (self.scales >= 0).all())


@dataclass(frozen=True)
class AffineLinear:
    """codes: uint8 (out, in), in 0..2^bits - 1."""

    codes: NDArray[np.uint8]
    grid: Grid

    def dequantize(self) -> NDArray[np.float32]:
        """float32 (out, in)."""
        out_features, in_features = self.codes.shape
        values = self.codes.reshape(out_features, -1, self.grid.group_size).astype(np.float32)
        values -= self.grid.zeros[:, :, None]
        values *= self.grid.scales[:, :, None]
        return values.reshape(out_features, in_features)

    def symmetric(self) -> QuantizedLinear | None:
        """The same values as signed integers, exactly; None where the grid is not symmetric."""
        grid = self.grid
        if not grid.symmetric:
            return None
        # Wraps around as unsigned, which read as signed is the difference.
        integers = (self.codes - np.uint8(1 << (grid.bits - 1))).view(np.int8)
        dead = grid.scales == 0
        if dead.any():  # every weight of the group is zero, and a QuantizedLinear has positive scales
            integers[np.repeat(dead, grid.group_size, axis=1)] = 0
        scales = np.where(dead, np.float32(1), grid.scales)
        return QuantizedLinear(integers, scales, grid.bits, grid.group_size)


def make_grid(
    zeros: NDArray[np.uint8], scales: NDArray[np.float32], bits: int, group_size: int, in_features: int
) -> Grid:
    """A grid whose groups divide the inputs: where the stored ones leave a rest, the smaller groups that do
    divide repeat their zeros and scales.

    zeros, scales: (out, ceil(in_features / group_size)).
    """
    smaller = gcd(group_size, in_features)
    if smaller != group_size:
        repeats, groups = group_size // smaller, in_features // smaller
        zeros = np.repeat(zeros, repeats, axis=1)[:, :groups]
        scales = np.repeat(scales, repeats, axis=1)[:, :groups]
    return Grid(np.ascontiguousarray(zeros), np.ascontiguousarray(scales), bits, smaller)
