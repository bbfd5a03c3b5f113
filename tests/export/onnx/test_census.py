"""A saved graph that holds anything else than its recipe's integers is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear, RMSNorm
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.operators import Leaf, Weights
from pocketvl.export.onnx.weights import Stack, external_layers, externalize
from pocketvl.export.weights import leaf_sizes
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.errors import CensusError, ExportError

WIDTH = 64
X, Y = TensorSpec("x", "float32", (1, "tokens", WIDTH)), TensorSpec("y", "float32", (1, "tokens", WIDTH))


class Source:
    """Random tensors by their names."""

    geometry: Any = None

    def tensor(self, name: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(name.encode()))
        rows = WIDTH // 2 if name[0] in "ab" else WIDTH
        shape = (rows,) if name.endswith("bias") or name[0] == "n" else (rows, WIDTH)
        return torch.randn(shape, generator=generator)

    def quantized(self, layer: str) -> None:
        return None


class Graph(nn.Module):
    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.norm = RMSNorm("n", WIDTH, 1e-6)
        self.ab = Stack(
            Linear(Layer("a", "a", WIDTH // 2, WIDTH, True), precision),
            Linear(Layer("b", "b", WIDTH // 2, WIDTH, True), precision),
        )
        self.first = Linear(Layer("c", "c", WIDTH, WIDTH, False), precision)
        self.second = Linear(Layer("d", "d", WIDTH, WIDTH, False), precision)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.first(self.ab(self.norm(x))))
        return y


@pytest.fixture(
    scope="module", params=[Precision(4, 32), Precision(8), Precision(16), Precision(32)], ids=str
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("graph")
    graph = Graph(request.param)
    with DataFile(folder / "graph.onnx_data") as data:
        externalize(graph, Source(), "rtn", data)
    write_graph(graph, [X], [Y], folder / "graph.onnx")
    return graph, (folder / "graph.onnx").read_bytes(), (folder / "graph.onnx_data").read_bytes()


def test_each_layer_is_told_when_it_is_filled(tmp_path: Path) -> None:
    graph, filled = Graph(Precision(8)), list[str]()
    sizes = leaf_sizes(graph)
    with DataFile(tmp_path / "data") as data:
        externalize(graph, Source(), "rtn", data, filled.append)
    assert len(sizes) == 4
    assert sorted(filled) == sorted(sizes)


def restore(written: Any, folder: Path) -> tuple[nn.Module, Path]:
    """The graph and a copy of its files, to be spoilt."""
    graph, model, data = written
    (folder / "graph.onnx").write_bytes(model)
    (folder / "graph.onnx_data").write_bytes(data)
    return graph, folder / "graph.onnx"


def test_a_graph_as_it_was_written_passes(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)
    census({path: graph})
    assert [one.layer for one in external_layers(graph)] == ["a", "b", "c", "d"]


def test_swapped_layers_are_noticed(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)
    edit(path, swap_places)
    with pytest.raises(CensusError, match=r"^c was written into graph\.onnx as .* of other values"):
        census({path: graph})


def swap_places(model: Any) -> None:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for part in ("weight", "scales"):
        if f"first.{part}" in tensors:
            first, second = tensors[f"first.{part}"], tensors[f"second.{part}"]
            places = [[(pair.key, pair.value) for pair in one.external_data] for one in (first, second)]
            for one, place in zip((second, first), places, strict=True):
                del one.external_data[:]
                for key, value in place:
                    one.external_data.add(key=key, value=value)


def test_parts_of_a_stack_in_another_order_are_noticed(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)
    leaf = graph.get_submodule("ab")
    assert isinstance(leaf, Weights)
    holds, leaf.holds = leaf.holds, leaf.holds[::-1]
    try:
        with pytest.raises(CensusError, match=r"^b was written into .* of other values"):
            census({path: graph})
    finally:
        leaf.holds = holds


def test_one_changed_byte_is_noticed(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)
    for leaf in (graph.get_submodule("ab"), graph.get_submodule("second")):
        assert isinstance(leaf, Weights)
        for name in ("weight", "scales"):
            if name not in leaf.entries:
                continue
            data = bytearray(written[2])
            data[leaf.entries[name].offset + leaf.entries[name].length - 1] ^= 0x10
            (tmp_path / "graph.onnx_data").write_bytes(data)
            with pytest.raises(CensusError, match="of other values"):
                census({path: graph})


def test_a_layer_of_other_bits_is_noticed(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)
    leaf = graph.get_submodule("first")
    assert isinstance(leaf, Weights)
    holds = leaf.holds
    leaf.holds = (replace(holds[0], form="2 bits [64, 64]"),)
    try:
        with pytest.raises(CensusError, match=r"^c was written into graph\.onnx as"):
            census({path: graph})
    finally:
        leaf.holds = holds


def test_a_layer_that_is_missing_or_too_many_is_noticed(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)

    def bypass(model: Any) -> None:
        product = next(node for node in model.graph.node if "second.weight" in node.input)
        product.op_type, product.domain = "Identity", ""
        del product.attribute[:]
        del product.input[1:]

    edit(path, bypass)
    with pytest.raises(CensusError, match=r"d is not in graph\.onnx"):
        census({path: graph})
    graph, path = restore(written, tmp_path)
    with pytest.raises(CensusError, match=r"has a weight ab\.weight that no recipe names"):
        census({path: nn.ModuleDict({"first": graph.get_submodule("first")})})


def test_weights_inside_the_graph_are_refused(written: Any, tmp_path: Path) -> None:
    graph, path = restore(written, tmp_path)

    def inline(model: Any) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "first.weight")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(tuple(tensor.dims), dtype), tensor.name))

    edit(path, inline)
    with pytest.raises(CensusError, match=r"is in graph\.onnx itself and not in its data file"):
        census({path: graph})


def test_a_graph_with_large_constants_of_its_own_is_refused(tmp_path: Path) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large = nn.Buffer(torch.ones(WIDTH * 100, WIDTH))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.large[:WIDTH]

    with pytest.raises(ExportError, match=r"graph\.onnx would hold large itself"):
        write_graph(Constant(), [X], [Y], tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def placed(folder: Path) -> Graph:
    graph = Graph(Precision(8))
    with DataFile(folder / "graph.onnx_data") as data:
        externalize(graph, Source(), "rtn", data)
    return graph


def leaf_of(graph: nn.Module, name: str) -> Leaf:
    leaf = graph.get_submodule(name)
    assert isinstance(leaf, Leaf)
    return leaf


def test_tensors_that_would_stay_zeros_are_refused(tmp_path: Path) -> None:
    graph = placed(tmp_path)
    leaf_of(graph, "norm").entries.clear()
    del leaf_of(graph, "ab").entries["bias"]
    with pytest.raises(ExportError, match=r"graph\.onnx would hold zeros for ab\.bias, norm\.weight, which"):
        write_graph(graph, [X], [Y], tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def test_entries_that_no_tensor_of_the_graph_is_called_by_are_refused(tmp_path: Path) -> None:
    graph = placed(tmp_path)
    entries = leaf_of(graph, "norm").entries
    entries |= {f"part{index}": entries["weight"] for index in range(5)}
    del entries["weight"]
    with pytest.raises(ExportError, match=r"has no tensor norm\.part0, .*, norm\.part3 and 1 more, which"):
        write_graph(graph, [X], [Y], tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def edit(path: Path, change: Callable[[Any], None]) -> None:
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
