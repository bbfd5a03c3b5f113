"""Which packed layers a target takes with their own integers."""

from dataclasses import replace
from math import gcd

import numpy as np

from pocketvl.quant.packed.affine import Grid
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision

# One scale a row is as well one scale a group, repeated: 4 bits are stored in groups only.
_ROW_GROUP = 128


def fitting_bits(grid: Grid, in_features: int) -> Precision | None:
    """The bits under which the grid's integers stand unchanged; None where they cannot.

    4 bits take any group that is a multiple of 32, 8 bits a scale an output channel.
    """
    if not grid.symmetric:
        return None
    per_channel = grid.group_size == in_features
    if grid.bits == 8:
        return Precision(8) if per_channel else None
    group_size = gcd(in_features, _ROW_GROUP) if per_channel else grid.group_size
    return Precision(4, group_size) if group_size % 32 == 0 else None


def in_groups(linear: QuantizedLinear, precision: Precision) -> QuantizedLinear:
    """The same weights with each scale repeated for the smaller groups of `bits`."""
    group_size = precision.group_size or linear.in_features
    if group_size == linear.group_size:
        return linear
    scales = np.repeat(linear.scales, linear.group_size // group_size, axis=1)
    return replace(linear, scales=scales, group_size=group_size)
