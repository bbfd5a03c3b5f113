"""Counts what saved graphs really hold: every layer must have got the bits that its recipe names.

Each .onnx file is read back, and what its products and look-ups read from the data files is unpacked and
compared, by the sha256 of integers and scales, with what the quantizer decided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.onnx._onnx import import_onnx
from pocketvl.export.onnx.data_file import Entry, read_entry
from pocketvl.export.onnx.expected import Expected, key_of
from pocketvl.export.onnx.matmul_nbits import unpack
from pocketvl.export.onnx.operators import Weights
from pocketvl.runtime.errors import CensusError

_FLOAT = {"FusedMatMul": 1, "MatMul": 1, "Gemm": 1, "Conv": 1}  # operator -> input: weight
_REPORT = "Please report this with the recipe."


@dataclass(frozen=True)
class _Kernel:
    """What one operator reads."""

    name: str  # of its weight
    weight: Entry
    scales: Entry | None
    bits: int


def census(graphs: Mapping[Path, nn.Module]) -> None:
    """Compare each saved graph with the placed module that it was made of.

    Raises CensusError for a layer that is missing, of other bits or with other values, or a weight that no
    recipe names.
    """
    keys: dict[tuple[object, ...], tuple[str, str | None]] = {}
    for path, graph in graphs.items():
        wanted = {f"{name}.weight": leaf for name, leaf in graph.named_modules() if isinstance(leaf, Weights)}
        found = {kernel.name: kernel for kernel in _kernels(path)}
        if unknown := found.keys() - wanted.keys():
            raise CensusError(f"{path.name} has a weight {min(unknown)} that no recipe names. {_REPORT}")
        for name, leaf in wanted.items():
            if name not in found:
                raise CensusError(
                    f"{leaf.holds[0].layer} is not in {path.name}, so it did not get the bits of its recipe."
                    f" {_REPORT}"
                )
            _check(path, found[name], leaf, keys)


def _check(
    path: Path, kernel: _Kernel, leaf: Weights, known: dict[tuple[object, ...], tuple[str, str | None]]
) -> None:
    first = 0
    for layer in leaf.holds:
        rows = slice(first, first + layer.shape[0])
        first = rows.stop
        place = (kernel.weight, kernel.scales, rows.start, rows.stop, layer.shape, kernel.bits)
        if place not in known:
            known[place] = _keys(path.parent, kernel, layer, rows)
        if kernel.bits != layer.bits.bits or known[place] != (layer.weight_key, layer.scale_key):
            raise CensusError(
                f"{path.name} holds other values for {layer.layer} than the {layer.bits.bits} bits that its"
                f" recipe makes. {_REPORT}"
            )
    if kernel.weight.shape[0] != first:
        raise CensusError(f"{kernel.name} in {path.name} has rows that belong to no layer. {_REPORT}")


def _keys(folder: Path, kernel: _Kernel, layer: Expected, rows: slice) -> tuple[str, str | None]:
    """Of one layer's rows, as they stand in the data file."""
    weight = read_entry(folder, kernel.weight)[rows]
    if kernel.scales is None:
        return key_of(weight), None
    integers = unpack(weight, kernel.bits, layer.shape[1])
    scales = read_entry(folder, kernel.scales)[rows]
    groups = layer.shape[1] // (layer.bits.group_size or layer.shape[1])
    return key_of(integers), _scale_key(scales, groups)


def _scale_key(scales: NDArray[np.float32], groups: int) -> str | None:
    """Of one scale a group, None where the blocks of a group differ in theirs."""
    blocks = scales.reshape(len(scales), groups, -1)
    return key_of(blocks[:, :, 0]) if (blocks == blocks[:, :, :1]).all() else None


def _kernels(path: Path) -> Iterator[_Kernel]:
    """What a saved graph reads from its data files by products and look-ups."""
    graph = import_onnx().load(path, load_external_data=False).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in _nodes(graph) if node.op_type == "Cast"}
    for node in _nodes(graph):
        if node.op_type == "MatMulNBits":
            weight, scales = node.input[1:3]
            bits = next(attribute.i for attribute in node.attribute if attribute.name == "bits")
            yield _Kernel(weight, _entry(path, tensors[weight]), _entry(path, tensors[scales]), bits)
        elif node.op_type in _FLOAT:
            read = node.input[_FLOAT[node.op_type]]
            weight = casts.get(read, read)
            if weight in tensors:  # a product may also be of two activations
                yield _float_kernel(weight, _entry(path, tensors[weight]))
    yield from _tables(path, graph, tensors)


def _tables(path: Path, graph: Any, tensors: Mapping[str, Any]) -> Iterator[_Kernel]:
    """What is looked up: floats, or integers together with the scales of the same rows."""
    looked_up: dict[str, dict[str, Entry]] = {}  # by the ids of the rows
    for node in _nodes(graph):
        if node.op_type == "Gather" and node.input[0] in tensors:
            tables = looked_up.setdefault(node.input[1], {})
            tables[node.input[0]] = _entry(path, tensors[node.input[0]])
    for tables in looked_up.values():
        integers = [name for name, entry in tables.items() if entry.dtype == "uint8"]
        scales = [entry for name, entry in tables.items() if name not in integers]
        if len(integers) == len(scales) == 1:
            weight = tables[integers[0]]
            columns = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
            yield _Kernel(integers[0], weight, scales[0], 8 * weight.shape[1] // columns)
        else:
            for name, entry in tables.items():
                yield _float_kernel(name, entry)


def _float_kernel(name: str, entry: Entry) -> _Kernel:
    return _Kernel(name, entry, None, 8 * np.dtype(entry.dtype).itemsize)


def _nodes(graph: Any) -> Iterator[Any]:
    """Those in the bodies of loops, too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


def _entry(path: Path, tensor: Any) -> Entry:
    place = {pair.key: pair.value for pair in tensor.external_data}
    if not place:
        raise CensusError(f"{tensor.name} stands in {path.name} and not in its data file. {_REPORT}")
    dtype = import_onnx().helper.tensor_dtype_to_np_dtype(tensor.data_type)
    entry = Entry(place["location"], int(place["offset"]), dtype.name, tuple(tensor.dims))
    if entry.length != int(place["length"]):
        raise CensusError(
            f"{tensor.name} in {path.name} has {place['length']} bytes, not {entry.length}. {_REPORT}"
        )
    return entry
