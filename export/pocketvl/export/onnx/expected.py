"""What a census must find in a saved graph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.recipe import Bits
from pocketvl.runtime.manifest import LayerGroup


@dataclass(frozen=True)
class Expected:
    """One linear layer or table. Keys are the sha256 of values, not of how they are stored."""

    layer: str  # as recipes know it
    bits: Bits
    shape: tuple[int, int]  # outputs, inputs
    weight_key: str  # of int8, float16 or float32 (out, in)
    scale_key: str | None  # of float32 (out, groups)
    bytes: int  # weight and scales as stored


def key_of(values: NDArray[Any]) -> str:
    """sha256 of an array, row-major."""
    return sha256(np.ascontiguousarray(values).data).hexdigest()


def layer_groups(component: str, layers: Iterable[Expected]) -> tuple[LayerGroup, ...]:
    """One group for all layers of the same bits and group size."""
    count: Counter[Bits] = Counter()
    parameters: Counter[Bits] = Counter()
    stored: Counter[Bits] = Counter()
    for layer in layers:
        count[layer.bits] += 1
        parameters[layer.bits] += layer.shape[0] * layer.shape[1]
        stored[layer.bits] += layer.bytes
    return tuple(
        LayerGroup(component, bits.bits, bits.group_size, count[bits], parameters[bits], stored[bits])
        for bits in count
    )
