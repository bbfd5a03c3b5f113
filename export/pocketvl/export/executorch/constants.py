"""A graph's weights in the bytes that XNNPACK stores, and delegates made from another's with these.

XNNPACK's graphs name each constant by the sha256 of its bytes. So a delegate of the same structure differs in
those names and constants only, and can be had without the backend: docs/decisions/0019-stencils.md.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.census import key_of
from pocketvl.export.modules import Linear, linears

_SCALE = "scale_"  # precedes the hash in the names of scales
_NAME = re.compile(rb"(?:scale_)?[0-9a-f]{64}")


@dataclass(frozen=True)
class Constant:
    key: str  # sha256 of the bytes
    data: NDArray[Any]

    @classmethod
    def of(cls, data: NDArray[Any]) -> "Constant":
        return cls(key_of(data), data)


@dataclass(frozen=True)
class StoredLinear:
    """scales: None for floats."""

    weight: Constant
    scales: Constant | None


# Its bytes, and its constants as ExecuTorch's NamedDataStoreOutput.
Delegate = tuple[bytes, Any]
Stored = Mapping[Linear, StoredLinear]
# Gives a graph its weights, and says how they are stored; and what is called when they have been written.
Fill = Callable[[nn.Module], Stored]
Written = Callable[[Stored], None]


def stored_linears(graph: nn.Module) -> Stored:
    """The linear layers of a filled graph."""
    return {leaf: _stored(leaf) for leaf in linears(graph)}


def _stored(leaf: Linear) -> StoredLinear:
    if leaf.precision.is_float:
        return StoredLinear(Constant.of(leaf.weight.detach().numpy()), None)
    bits = leaf.precision.bits
    integers, scales = leaf.weight.qdata.numpy(), leaf.weight.scale.numpy()  # type: ignore[attr-defined]
    weight = Constant.of(stored_weights(integers, bits))
    return StoredLinear(weight, Constant.of(scale_bytes(scales, bits)))


def stored_weights(integers: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Bytes as XNNPACK's serializer stores them: 8 bits as is, 4 bits as value + 8, low nibble first."""
    if bits == 8:
        return np.ascontiguousarray(integers).view(np.uint8)
    nibbles: NDArray[np.uint8] = np.ascontiguousarray(integers).view(np.uint8) + np.uint8(8)
    pairs = nibbles.view("<u2")  # the first of two in the low byte
    packed: NDArray[np.uint8] = (pairs | (pairs >> np.uint16(4))).astype(np.uint8)
    return packed


def scale_bytes(scales: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Scales as stored: float32 for 8 bits, bfloat16 (its upper half) for 4."""
    return scales if bits == 8 else (scales.view(np.uint32) >> 16).astype(np.uint16)


def same_delegate(one: Delegate, other: Delegate) -> bool:
    """Whether both have the same bytes, constants and order of constants."""
    orders = (list(data.pte_data) for _, data in (one, other))
    return one == other and next(orders) == next(orders)


class Template:
    """A delegate that XNNPACK's backend wrote, to be written again with another graph's constants."""

    def __init__(
        self, graph: nn.Module, stored: Stored, numbers: Iterable[torch.Tensor], delegate: Delegate
    ) -> None:
        """numbers: constants of the delegate that are no graph's own, such as an activation's factor."""
        self._processed, data = delegate
        self._entries = dict(data.pte_data)
        self._numbers = {one.key: one for one in map(_float, numbers)}
        self._places: dict[str, list[str]] = defaultdict(list)
        for place, name, _ in _constants(graph, stored):
            self._places[name].append(place)

    def written(self, graph: nn.Module, stored: Stored) -> Delegate | None:
        """None where the graph has two different constants in the place of two equal ones, so that only the
        backend knows which is which, and where the backend has stored something else than was expected.
        """
        from executorch.exir._serialize._named_data_store import NamedDataStore

        if self._entries.keys() - self._numbers.keys() != self._places.keys() - self._numbers.keys():
            return None
        own = {place: (name, data) for place, name, data in _constants(graph, stored)}
        store = NamedDataStore()
        names: dict[bytes, bytes] = {}
        for old, entry in self._entries.items():
            alike = {own[place][0]: own[place][1] for place in self._places.get(old, ())}
            if old in self._numbers:
                alike[old] = self._numbers[old].data
            if len(alike) > 1:
                return None
            ((name, data),) = alike.items()
            names[old.encode()] = name.encode()
            store.add_named_data(name, data.tobytes(), entry.alignment, tensor_layout=entry.tensor_layout)
        if {*_NAME.findall(self._processed)} != names.keys():
            return None
        processed = _NAME.sub(lambda found: names[found[0]], self._processed)
        return processed, store.get_named_data_store_output()


def _constants(graph: nn.Module, stored: Stored) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Place in the graph, name in a delegate, and bytes."""
    leaves = {f"{path}.weight": leaf for path, leaf in graph.named_modules() if isinstance(leaf, Linear)}
    for path, tensor in (*graph.named_parameters(), *graph.named_buffers()):
        if path in leaves:
            linear = stored[leaves[path]]
            yield path, linear.weight.key, linear.weight.data
            if linear.scales is not None:
                yield f"{path}.scales", _SCALE + linear.scales.key, linear.scales.data
        else:
            constant = _float(tensor)
            yield path, constant.key, constant.data


def _float(tensor: torch.Tensor) -> Constant:
    return Constant.of(tensor.detach().to(torch.float32).contiguous().numpy())
