"""A graph of many layers that was made of one of few is the file that the whole graph gives."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pocketvl.export.executorch import calling_graph
from pocketvl.export.executorch.constants import stored_linears
from pocketvl.export.executorch.xnnpack import Stencil, calling_program, lower
from pocketvl.runtime.errors import ExportError
from tests.export.executorch.test_xnnpack import EXAMPLE, SHAPES, WIDTH, Graph, Outline


class Layer(nn.Module):
    """State, a norm of its own, a delegate of its own and one of all layers."""

    def __init__(self, own: nn.Module, shared: nn.Module, seed: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        numbers = torch.Generator().manual_seed(seed)
        self.norm.weight = nn.Parameter(torch.rand(WIDTH, generator=numbers), requires_grad=False)
        self.norm.bias = nn.Parameter(torch.rand(WIDTH, generator=numbers), requires_grad=False)
        self.seen = nn.Buffer(torch.full((1, WIDTH), float(seed)), persistent=False)
        self.own, self.shared = own, shared

    def forward(self, hidden: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        self.seen.add_(hidden[:, 0])
        first, second = self.shared(self.norm(hidden))
        last: torch.Tensor = self.own(first + second)[0]
        return last + start


class Model(nn.Module):
    """odd: a layer after which another step comes; limited: one after which a limit is another."""

    def __init__(self, number: int, unlike: bool, odd: int | None = None, limited: int | None = None) -> None:
        super().__init__()
        stencil = Stencil(Graph(0), Outline(), EXAMPLE, SHAPES)
        graphs = [Graph(seed) for seed in range(number + 2)]
        self.first, shared, *own = (stencil.write(graph, stored_linears(graph)) for graph in graphs)
        self.layers = nn.ModuleList(Layer(one, shared, seed) for seed, one in enumerate(own))
        self.unlike, self.odd, self.limited = unlike, odd, limited

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden, start = self.first(hidden)
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, start)
            if index == self.odd or (self.unlike and index == len(self.layers) - 1):
                hidden = hidden.abs()
            hidden = hidden.clamp(max=2e9 if index == self.limited else 1e9)
        return hidden


def written(model: Model, path: Path, monkeypatch: pytest.MonkeyPatch, traced: int) -> bytes:
    monkeypatch.setattr(calling_graph, "_TRACED", traced)
    monkeypatch.setattr(calling_graph, "_REPEATED", traced - 1)
    lower({"forward": calling_program(model, int(model.unlike), EXAMPLE, SHAPES)}, {}, path)
    return path.read_bytes()


@pytest.mark.parametrize("unlike", [False, True])
def test_few_layers_give_the_file_of_all(
    unlike: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(7, unlike)
    few = written(model, tmp_path / "few.pte", monkeypatch, 3)
    assert few == written(model, tmp_path / "all.pte", monkeypatch, 7)
    assert len(model.layers) == 7


def test_layers_that_became_unlike_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match=r"something else of each layer \(one takes \d+ steps, the next"):
        written(Model(5, False, odd=1), tmp_path / "odd.pte", monkeypatch, 3)
    with pytest.raises(ExportError, match=r"something else of each layer \(.* became"):
        written(Model(5, False, limited=1), tmp_path / "odd.pte", monkeypatch, 3)
