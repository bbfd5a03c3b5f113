"""What a manifest says of a component's layers: one line for all that share bits."""

from collections.abc import Iterable
from dataclasses import dataclass

from pocketvl.quant.recipe import Bits
from pocketvl.runtime.manifest import LayerGroup


@dataclass(frozen=True)
class StoredLayer:
    """A layer as it is in an artifact."""

    bits: Bits
    parameters: int  # weights, biases not counted
    bytes: int  # weights and scales


def layer_groups(component: str, layers: Iterable[StoredLayer]) -> tuple[LayerGroup, ...]:
    """One group for all layers of the same bits and group size, in the order of their first layers."""
    alike: dict[Bits, list[StoredLayer]] = {}
    for layer in layers:
        alike.setdefault(layer.bits, []).append(layer)
    return tuple(
        LayerGroup(
            component,
            bits.bits,
            bits.group_size,
            len(own),
            sum(layer.parameters for layer in own),
            sum(layer.bytes for layer in own),
        )
        for bits, own in alike.items()
    )
