"""Compares what a written file really holds with what it must hold: every layer has the bits of its recipe.

Exporters skip layers quietly: a partitioner that does not recognise a pattern leaves it to float kernels, a
quantizer passes over a width that does not divide. So each target reads its files back as Kernels, and here
each layer is found among them by the sha256 of its stored weights and scales.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.manifest import LayerGroup
from pocketvl.runtime.errors import CensusError

REPORT = "Please report this with the recipe."


@dataclass(frozen=True)
class Location:
    """Where weights and scales begin in their file, in bytes."""

    data: int
    scales: int | None


@dataclass(frozen=True)
class Kernel:
    """A weight that a saved graph computes with.

    form: everything but its values, in the words of the file's format: "int4 [96, 64] with scales [96, 2]".
    bytes: weight and scales as stored. layer: whose weight it is, where the file's names tell; None where
    only its values do. counted: whether the recipe must name it; graphs hold constants of their own as well.
    """

    form: str
    weight_key: str
    scale_key: str | None
    bytes: int
    location: Location
    layer: str | None = None
    counted: bool = True


@dataclass(frozen=True)
class Expected:
    """A linear layer or table that a graph must hold; form and keys are those of its Kernel."""

    layer: str  # as recipes call it
    precision: Precision
    shape: tuple[int, int]  # outputs, inputs
    form: str
    weight_key: str
    scale_key: str | None
    counted: bool = True


def compare(where: str, kernels: Sequence[Kernel], wanted: Iterable[Expected]) -> dict[str, Kernel]:
    """Layer -> its kernel. where: the graph and its file, for messages.

    Raises CensusError for a layer that is missing, in another form or with other values, and for a kernel
    that no recipe names.
    """
    wanted = tuple(wanted)
    found = {layer.layer: _find(where, kernels, layer) for layer in wanted}
    if unknown := {kernel.layer for kernel in kernels if kernel.layer is not None} - found.keys():
        raise CensusError(f"{where} has a weight {min(unknown)} that no recipe names. {REPORT}")
    counted, planned = (sum(one.counted for one in many) for many in (kernels, wanted))
    if counted != planned:
        raise CensusError(
            f"{where} has {counted} layers with weights where the recipe knows {planned}. {REPORT}"
        )
    return found


def layer_groups(
    component: str, wanted: Iterable[Expected], found: Mapping[str, Kernel]
) -> tuple[LayerGroup, ...]:
    """What a manifest says of layers: one group for all of the same bits and group size."""
    alike: dict[Precision, list[Expected]] = {}
    for layer in wanted:
        alike.setdefault(layer.precision, []).append(layer)
    return tuple(
        LayerGroup(
            component,
            precision.bits,
            precision.group_size,
            len(own),
            sum(layer.shape[0] * layer.shape[1] for layer in own),
            sum(found[layer.layer].bytes for layer in own),
        )
        for precision, own in alike.items()
    )


def key_of(values: NDArray[Any]) -> str:
    """sha256 of an array, row-major."""
    return sha256(np.ascontiguousarray(values).data).hexdigest()


def _find(where: str, kernels: Sequence[Kernel], wanted: Expected) -> Kernel:
    alike = [
        kernel
        for kernel in kernels
        if (kernel.weight_key == wanted.weight_key if kernel.layer is None else kernel.layer == wanted.layer)
    ]
    if not alike:
        raise CensusError(
            f"{wanted.layer} is not in {where}, so it did not get the {wanted.precision.bits} bits of its"
            f" recipe. {REPORT}"
        )
    for kernel in alike:
        if _content(kernel) == _content(wanted):
            return kernel
    first = alike[0]
    raise CensusError(
        f"{wanted.layer} was written into {where} as {first.form}, but its recipe makes it {wanted.form}"
        f"{'' if first.form != wanted.form else ' of other values'}. {REPORT}"
    )


def _content(one: Kernel | Expected) -> tuple[str, str, str | None]:
    return one.form, one.weight_key, one.scale_key
