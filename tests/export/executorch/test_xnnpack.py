"""Delegates that are written with another layer's graph are those that lowering the layer itself gives."""

import pytest
import torch
from torch import nn

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
        return self.third(self.first(normed)), self.second(normed)


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


def stored(delegate: nn.Module) -> tuple[bytes, dict[str, bytes]]:
    """The delegate's graph, and its named constants."""
    data = delegate.named_data_store_output
    named = {key: bytes(data.buffers[entry.buffer_index]) for key, entry in data.pte_data.items()}
    return delegate.processed_bytes, named


def test_another_graphs_weights_give_its_own_delegate() -> None:
    stencil = Stencil(Graph(0), Outline(), EXAMPLE, SHAPES)
    written = [stored(stencil.write(Graph(seed))) for seed in (1, 0, 1)]
    alone = [stored(Stencil(Graph(seed), Outline(), EXAMPLE, SHAPES).write(Graph(seed))) for seed in (1, 0)]
    assert written == [alone[0], alone[1], alone[0]]
    assert alone[0] != alone[1]


def test_graphs_of_other_bits_get_stencils_of_their_own() -> None:
    stencils = Stencils(Outline(), EXAMPLE, SHAPES)
    written = [stored(stencils.write(Graph(seed, bits))) for seed, bits in ((0, 4), (1, 8), (2, 4))]
    alone = Stencils(Outline(), EXAMPLE, SHAPES)
    assert written[1] == stored(alone.write(Graph(1, 8)))
    assert written[2] == stored(alone.write(Graph(2, 4)))


def test_what_xnnpack_does_not_run_is_refused() -> None:
    with pytest.raises(ExportError, match=r"cumsum"):
        Stencil(Unknown(), Unknown(), EXAMPLE, SHAPES)
