"""What a census must find in a saved graph."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.export.layer_groups import StoredLayer
from pocketvl.quant.recipe import Bits


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


def stored_layers(layers: Iterable[Expected]) -> Iterator[StoredLayer]:
    """Their sizes in the data file."""
    for layer in layers:
        yield StoredLayer(layer.bits, layer.shape[0] * layer.shape[1], layer.bytes)
