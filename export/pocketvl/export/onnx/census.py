"""The weights that saved graphs really read, for pocketvl.export.census.

Each .onnx file is read back, and what its products and look-ups read from the data files is unpacked and
hashed: integers as int8, not as they are packed, and one scale a group, not one a block.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.census import REPORT, Expected, Kernel, Location, compare, key_of
from pocketvl.export.onnx.convert import import_onnx
from pocketvl.export.onnx.data_file import Entry, read_entry
from pocketvl.export.onnx.operators import Weights, unpack
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import CensusError

_FLOAT = {"FusedMatMul": 1, "MatMul": 1, "Gemm": 1, "Conv": 1}  # operator -> input: weight

_Keys = dict[tuple[object, ...], tuple[str, str | None]]  # of rows of a data file, each hashed once


@dataclass(frozen=True)
class _Read:
    """What one operator reads."""

    name: str  # of its weight
    weight: Entry
    scales: Entry | None
    bits: int
    columns: int


def expected(
    layer: str, precision: Precision, weight: NDArray[Any], scales: NDArray[np.float32] | None = None
) -> Expected:
    """A layer or table. weight: int8, float16 or float32 (out, in); scales: (out, groups)."""
    rows, columns = weight.shape
    scale_key = None if scales is None else key_of(scales)
    return Expected(
        layer, precision, (rows, columns), _form(precision.bits, rows, columns), key_of(weight), scale_key
    )


def census(graphs: Mapping[Path, nn.Module]) -> dict[str, Kernel]:
    """Compare each saved graph with the module that it was made of; layer -> where it is, in its data file.

    Raises CensusError as compare does.
    """
    found: dict[str, Kernel] = {}
    keys: _Keys = {}
    for path, graph in graphs.items():
        holds = {
            f"{name}.weight": leaf.holds for name, leaf in graph.named_modules() if isinstance(leaf, Weights)
        }
        wanted = [layer for layers in holds.values() for layer in layers]
        found |= compare(path.name, list(read_kernels(path, holds, keys)), wanted)
    return found


def read_kernels(path: Path, holds: Mapping[str, Sequence[Expected]], keys: _Keys) -> Iterator[Kernel]:
    """holds: tensor -> the layers whose rows stand in it, one below the other. keys: of other graphs."""
    for read in _operators(path):
        first = 0
        for layer in holds.get(read.name, ()):
            yield _kernel(path.parent, read, layer, slice(first, first + layer.shape[0]), keys)
            first += layer.shape[0]
        if first != read.weight.shape[0]:
            rows = f"{read.name}[{first}:]" if first else read.name
            yield Kernel("", "", None, 0, Location(read.weight.offset, None), rows)


def _kernel(folder: Path, read: _Read, layer: Expected, rows: slice, keys: _Keys) -> Kernel:
    groups = layer.shape[1] // (layer.precision.group_size or layer.shape[1])
    place = (read, rows.start, rows.stop, groups)
    if place not in keys:
        keys[place] = _hash_rows(folder, read, rows, groups)
    data, size = _extent(read.weight, rows)
    scales, scales_size = (None, 0) if read.scales is None else _extent(read.scales, rows)
    form = _form(read.bits, rows.stop - rows.start, read.columns)
    return Kernel(form, *keys[place], size + scales_size, Location(data, scales), layer.layer)


def _hash_rows(folder: Path, read: _Read, rows: slice, groups: int) -> tuple[str, str | None]:
    weight = read_entry(folder, read.weight)[rows]
    if read.scales is None:
        return key_of(weight), None
    integers = unpack(weight, read.bits, read.columns)
    return key_of(integers), _scale_key(read_entry(folder, read.scales)[rows], groups)


def _scale_key(scales: NDArray[np.float32], groups: int) -> str | None:
    """Of one scale a group, None where the blocks of a group differ in theirs."""
    blocks = scales.reshape(len(scales), groups, -1)
    return key_of(blocks[:, :, 0]) if (blocks == blocks[:, :, :1]).all() else None


def _form(bits: int, rows: int, columns: int) -> str:
    return f"{bits} bits {[rows, columns]}"


def _extent(entry: Entry, rows: slice) -> tuple[int, int]:
    """Where the rows begin in the data file, and their bytes."""
    each = entry.length // entry.shape[0]
    return entry.offset + each * rows.start, each * (rows.stop - rows.start)


def _operators(path: Path) -> Iterator[_Read]:
    """What a saved graph reads from its data files by products and look-ups."""
    graph = import_onnx().load(path, load_external_data=False).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in _nodes(graph) if node.op_type == "Cast"}
    for node in _nodes(graph):
        if node.op_type == "MatMulNBits":
            weight, scales = node.input[1:3]
            numbers = {attribute.name: attribute.i for attribute in node.attribute}
            entries = _entry(path, tensors[weight]), _entry(path, tensors[scales])
            yield _Read(weight, *entries, numbers["bits"], numbers["K"])
        elif node.op_type in _FLOAT:
            read = node.input[_FLOAT[node.op_type]]
            weight = casts.get(read, read)
            if weight in tensors:  # a product may also be of two activations
                yield _floats(weight, _entry(path, tensors[weight]))
    yield from _tables(path, graph, tensors)


def _tables(path: Path, graph: Any, tensors: Mapping[str, Any]) -> Iterator[_Read]:
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
            yield _Read(integers[0], weight, scales[0], 8 * weight.shape[1] // columns, columns)
        else:
            for name, entry in tables.items():
                yield _floats(name, entry)


def _floats(name: str, entry: Entry) -> _Read:
    return _Read(name, entry, None, 8 * np.dtype(entry.dtype).itemsize, entry.shape[-1])


def _nodes(graph: Any) -> Iterator[Any]:
    """Those in the bodies of loops, too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


def _entry(path: Path, tensor: Any) -> Entry:
    place = {pair.key: pair.value for pair in tensor.external_data}
    if not place:
        raise CensusError(f"{tensor.name} is in {path.name} itself and not in its data file. {REPORT}")
    dtype = import_onnx().helper.tensor_dtype_to_np_dtype(tensor.data_type)
    entry = Entry(place["location"], int(place["offset"]), dtype.name, tuple(tensor.dims))
    if entry.length != int(place["length"]):
        raise CensusError(
            f"{tensor.name} in {path.name} has {place['length']} bytes, not {entry.length}. {REPORT}"
        )
    return entry
