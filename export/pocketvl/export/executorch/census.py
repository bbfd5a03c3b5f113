"""Counts what a .pte file really holds: every linear layer must have got the bits that its recipe names.

Exporters skip layers quietly: a partitioner that does not recognise a pattern leaves it to portable float
kernels, a quantizer passes over a width that does not divide. So the written file is read back and each
layer's kernel is found in XNNPACK's own graph by the sha256 of its stored weights and scales.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.executorch.pte import Method, Pte, read_pte
from pocketvl.export.layer_groups import StoredLayer, layer_groups
from pocketvl.export.modules import Linear, linears
from pocketvl.quant.recipe import Bits
from pocketvl.runtime.errors import CensusError
from pocketvl.runtime.manifest import LayerGroup

_FILTER_TYPES = {32: "xnn_datatype_fp32", 8: "xnn_datatype_qcint8", 4: "xnn_datatype_qbint4"}
_INPUT_TYPES = {32: "xnn_datatype_fp32", 8: "xnn_datatype_qdint8", 4: "xnn_datatype_qdint8"}
# Operators that, outside a delegate, would be a linear layer or a piece of a quantized one.
_STRAYS = ("linear", "addmm", "mm", "bmm", "convolution", "quantize", "choose_qparams")


@dataclass(frozen=True)
class Expected:
    """One linear kernel that the file must hold."""

    name: str  # of the layer, as recipes know it
    shape: tuple[int, int]  # outputs, inputs
    bits: Bits
    weight_key: str  # sha256 of the stored weights
    scale_key: str | None


def expected(graph: nn.Module) -> tuple[Expected, ...]:
    """What to look for, taken from a filled graph before its weights are let go."""
    return tuple(_expected_linear(leaf) for leaf in linears(graph))


def census(path: Path, methods: Mapping[str, tuple[Expected, ...]]) -> tuple[LayerGroup, ...]:
    """Compare each method of the file with what it must hold; the method's name becomes the component's.

    Returns one LayerGroup per method, bits and group size, with the bytes really stored. Raises CensusError
    for a layer that is missing, left in float, outside the delegate, of other bits, or with other values.
    """
    pte = read_pte(path)
    groups: list[LayerGroup] = []
    for name, wanted in methods.items():
        if name not in pte.methods:
            raise CensusError(f"{path} has no method {name}.")
        _check_method(path, pte.methods[name], wanted)
        groups.extend(layer_groups(name, (_stored(pte, kernel) for kernel in wanted)))
    return tuple(groups)


def stored_weights(integers: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Bytes as XNNPACK's serializer stores them: 8 bits as is, 4 bits as value + 8, low nibble first."""
    if bits == 8:
        return np.ascontiguousarray(integers).view(np.uint8)
    nibbles: NDArray[np.uint8] = integers.view(np.uint8) + np.uint8(8)
    packed: NDArray[np.uint8] = nibbles[:, 0::2] | (nibbles[:, 1::2] << np.uint8(4))
    return packed


def stored_scales(scales: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Scales as stored: float32 for 8 bits, bfloat16 (its upper half) for 4."""
    return scales if bits == 8 else (scales.view(np.uint32) >> 16).astype(np.uint16)


def _expected_linear(leaf: Linear) -> Expected:
    shape = (leaf.out_features, leaf.in_features)
    if leaf.bits.is_float:
        return Expected(leaf.layer, shape, leaf.bits, _hash(leaf.weight.detach().numpy()), None)
    integers, scales = leaf.weight.qdata.numpy(), leaf.weight.scale.numpy()  # type: ignore[attr-defined]
    return Expected(
        leaf.layer,
        shape,
        leaf.bits,
        _hash(stored_weights(integers, leaf.bits.bits)),
        "scale_" + _hash(stored_scales(scales, leaf.bits.bits)),
    )


def _hash(array: NDArray[Any]) -> str:
    return sha256(np.ascontiguousarray(array).data).hexdigest()


def _check_method(path: Path, method: Method, wanted: tuple[Expected, ...]) -> None:
    kernels = [_Kernel.of(node, graph) for graph in method.delegates for node in _fully_connected(graph)]
    by_key: dict[str, list[_Kernel]] = {}
    for kernel in kernels:
        by_key.setdefault(kernel.weight_key, []).append(kernel)
    strays = [name for name in method.kernels if any(part in name.split("::")[-1] for part in _STRAYS)]
    outside = f"; outside the delegates run {', '.join(sorted(strays))}" if strays else ""
    for layer in wanted:
        found = by_key.get(layer.weight_key)
        if not found:
            raise CensusError(
                f"{layer.name} is in no XNNPACK graph of {method.name} in {path.name}, so it did not get the"
                f" {layer.bits.bits} bits of its recipe{outside}. Please report this with the recipe."
            )
        _check_kernel(layer, found[0])
    if strays:
        raise CensusError(
            f"{method.name} of {path.name} runs {', '.join(sorted(strays))} outside the XNNPACK delegate,"
            " in float and slowly. Please report this with the recipe."
        )
    quantized = sum(kernel.filter_type != _FILTER_TYPES[32] for kernel in kernels)
    planned = sum(not layer.bits.is_float for layer in wanted)
    if quantized != planned:
        raise CensusError(
            f"{method.name} of {path.name} has {quantized} quantized linear kernels where the recipe makes"
            f" {planned}. Please report this with the recipe."
        )


def _check_kernel(layer: Expected, kernel: "_Kernel") -> None:
    bits = layer.bits.bits
    wanted = _Kernel(
        filter_type=_FILTER_TYPES[bits],
        input_type=_INPUT_TYPES[bits],
        shape=layer.shape,
        group_size=layer.bits.group_size,
        weight_key=layer.weight_key,
        scale_key=layer.scale_key,
    )
    if kernel != wanted:
        raise CensusError(
            f"{layer.name} was lowered as {kernel.describe()}, but its recipe makes it {wanted.describe()}."
            " Please report this with the recipe."
        )


@dataclass(frozen=True)
class _Kernel:
    """A fully connected node of an XNNPACK graph."""

    filter_type: str
    input_type: str
    shape: tuple[int, ...]
    group_size: int | None
    weight_key: str
    scale_key: str | None

    @classmethod
    def of(cls, node: dict[str, Any], graph: dict[str, Any]) -> "_Kernel":
        values = {_tensor(value)["id_out"]: value for value in graph["xvalues"]}
        weight = values[node["filter_id"]]
        tensor = _tensor(weight)
        quantization = weight["xvalue_union"].get("quant_params", {})
        scale_index = quantization.get("scale_buffer_idx", 0)
        constants = graph["constant_data"]
        return cls(
            filter_type=tensor["datatype"],
            input_type=_tensor(values[node["input1_id"]])["datatype"],
            shape=tuple(tensor["dims"]),
            group_size=quantization.get("group_size"),
            weight_key=constants[tensor["constant_buffer_idx"]]["named_key"],
            scale_key=constants[scale_index]["named_key"] if scale_index else None,
        )

    def describe(self) -> str:
        group = f" in groups of {self.group_size}" if self.group_size else ""
        scales = f", scales {self.scale_key[:14]}" if self.scale_key else ""
        return f"{self.filter_type}{group} {list(self.shape)} on {self.input_type} inputs{scales}"


def _tensor(value: dict[str, Any]) -> dict[str, Any]:
    union = value["xvalue_union"]
    tensor: dict[str, Any] = union.get("tensor_value", union)
    return tensor


def _fully_connected(graph: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (n["xnode_union"] for n in graph["xnodes"] if n["xnode_union_type"] == "XNNFullyConnected")


def _stored(pte: Pte, kernel: Expected) -> StoredLayer:
    keys = [kernel.weight_key] + ([kernel.scale_key] if kernel.scale_key else [])
    size = sum(pte.data[key].size for key in keys)
    return StoredLayer(kernel.bits, kernel.shape[0] * kernel.shape[1], size)
