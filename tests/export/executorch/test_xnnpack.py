"""Delegates that are written with another layer's graph are those that lowering the layer itself gives."""

import pytest
import torch
from torch import nn

from pocketvl.export.executorch import constants
from pocketvl.export.executorch.constants import stored_linears
from pocketvl.export.executorch.operators import XnnpackRMSNorm
from pocketvl.export.executorch.xnnpack import Stencil, Stencils
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.export.weights import to_torchao
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import ExportError

WIDTH = 64
EXAMPLE = (torch.zeros(1, 2, WIDTH),)
SHAPES = ({1: torch.export.Dim("tokens", min=1, max=8)},)


class Graph(nn.Module):
    """A norm, a quantized layer with a bias, one of other bits and one in float."""

    def __init__(self, seed: int, bits: int = 4) -> None:
        super().__init__()
        numbers = torch.Generator().manual_seed(seed)
        self.norm = XnnpackRMSNorm("norm", WIDTH, 1e-6)
        self.norm.weight = nn.Parameter(torch.rand(WIDTH, generator=numbers), requires_grad=False)
        self.first = linear(Precision(bits, 32 if bits == 4 else None), numbers, bias=True)
        self.second = linear(Precision(8), numbers)
        self.third = linear(Precision(32), numbers)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normed = self.norm(x)
        return self.third(1.5 * self.first(normed)), self.second(normed)


class Outline(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.clone(), x.clone()


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.cumsum(x, dim=2),)


def linear(precision: Precision, numbers: torch.Generator, bias: bool = False) -> Linear:
    leaf = Linear(Layer("layer", "layer", WIDTH, WIDTH, bias), precision)
    weight = torch.randn(WIDTH, WIDTH, generator=numbers)
    if not precision.is_float:
        weight = to_torchao(quantize_linear(weight, precision, "rtn", "layer"))
    leaf.weight = nn.Parameter(weight, requires_grad=False)
    if bias:
        leaf.bias = nn.Parameter(torch.randn(WIDTH, generator=numbers), requires_grad=False)
    return leaf


def write(stencil: Stencil | Stencils, graph: Graph) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The delegate's graph, and its named constants in their order."""
    delegate = stencil.write(graph, stored_linears(graph))
    data = delegate.named_data_store_output
    named = [(key, bytes(data.buffers[entry.buffer_index])) for key, entry in data.pte_data.items()]
    return delegate.processed_bytes, named


def alone(graph: Graph) -> tuple[bytes, list[tuple[str, bytes]]]:
    return write(Stencil(graph, Outline(), EXAMPLE, SHAPES), graph)


def with_bias(graph: Graph, bias: torch.Tensor) -> Graph:
    graph.first.bias = nn.Parameter(bias, requires_grad=False)
    return graph


def test_another_graphs_weights_give_its_own_delegate(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[Graph] = []
    by_backend = Stencil._by_backend
    monkeypatch.setattr(
        Stencil, "_by_backend", lambda own, graph: lowered.append(graph) or by_backend(own, graph)
    )
    stencil = Stencil(Graph(0), Outline(), EXAMPLE, SHAPES)
    written = [write(stencil, Graph(seed)) for seed in (1, 0, 1, 2)]
    assert len(lowered) == 2  # the others are made of the first
    assert written == [alone(Graph(seed)) for seed in (1, 0, 1, 2)]
    assert written[0] != written[1]


def test_equal_constants_that_become_unlike_are_written_by_the_backend() -> None:
    """The norm's weights and the bias of the first graph are the same constant."""
    stencil = Stencil(Graph(0), Outline(), EXAMPLE, SHAPES)
    graphs = [with_bias(graph := Graph(seed), graph.norm.weight.detach().clone()) for seed in (0, 1)]
    graphs += [Graph(2), Graph(3), with_bias(graph := Graph(4), graph.norm.weight.detach().clone()), Graph(5)]
    assert [write(stencil, graph) for graph in graphs] == [alone(graph) for graph in graphs]


def test_a_template_that_gives_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "stored_weights", lambda integers, bits: integers.view("uint8"))
    stencil = Stencil(Graph(0), Outline(), EXAMPLE, SHAPES)
    written = [write(stencil, Graph(seed)) for seed in (0, 1, 2)]
    monkeypatch.undo()
    assert written == [alone(Graph(seed)) for seed in (0, 1, 2)]


def test_graphs_of_other_bits_get_stencils_of_their_own() -> None:
    stencils = Stencils(Outline(), EXAMPLE, SHAPES)
    written = [write(stencils, Graph(seed, bits)) for seed, bits in ((0, 4), (1, 8), (2, 4))]
    assert written[1] == alone(Graph(1, 8))
    assert written[2] == alone(Graph(2, 4))


def test_what_xnnpack_does_not_run_is_refused() -> None:
    with pytest.raises(ExportError, match=r"cumsum"):
        Stencil(Unknown(), Unknown(), EXAMPLE, SHAPES)
