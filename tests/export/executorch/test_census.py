"""The census must fail whenever a written file does not hold what the recipe names."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pocketvl.export.census import layer_groups
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.constants import stored_linears
from pocketvl.export.executorch.xnnpack import lower
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.manifest import LayerGroup
from pocketvl.runtime.errors import CensusError, ExportError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource

INT4, INT8, FLOAT = Precision(4, 32), Precision(8), Precision(32)


class TwoLinears(nn.Module):
    """The first block's two linear layers around a gate, with the bits of the caller's choice."""

    def __init__(self, first: Precision, second: Precision, seed: int = 0) -> None:
        super().__init__()
        vision = SMALL_GEOMETRY.vision
        wide, narrow = vision.intermediate_size, vision.hidden_size
        block = "vision_encoder.blocks.0"
        source = "visual.blocks.0.mlp"
        self.first = Linear(Layer(f"{block}.fc1", f"{source}.fc1", wide, narrow, True), first)
        self.second = Linear(Layer(f"{block}.fc2", f"{source}.fc2", narrow, wide, True), second)
        fill(self, RandomSource(SMALL_GEOMETRY, seed), "rtn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.sigmoid(self.first(x)))


def traced(graph: nn.Module) -> torch.export.ExportedProgram:
    rows = torch.export.Dim("rows", min=1, max=8)
    with torch.no_grad():
        return torch.export.export(graph, (torch.zeros(2, 64),), dynamic_shapes=({0: rows},), strict=False)


def written(graph: nn.Module, folder: Path) -> Path:
    path = folder / "graph.pte"
    lower({"run": traced(graph)}, {}, path)
    return path


def test_counts_layers_and_stored_bytes(tmp_path: Path) -> None:
    graph = TwoLinears(INT4, INT8)
    wanted = expected(stored_linears(graph))
    size = 64 * 128
    found = census(written(graph, tmp_path), {"run": wanted})
    assert layer_groups("run", wanted, found) == (
        LayerGroup("run", 4, 32, 1, size, size // 2 + size // 32 * 2),
        LayerGroup("run", 8, None, 1, size, size + 64 * 4),
    )


@pytest.fixture(scope="module")
def int8_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(TwoLinears(INT8, INT8), tmp_path_factory.mktemp("int8"))


@pytest.mark.parametrize("planned", [INT4, Precision(4, 64), FLOAT])
def test_other_bits_than_planned_fail(int8_file: Path, planned: Precision) -> None:
    with pytest.raises(CensusError, match=r"blocks\.0\.fc1"):
        census(int8_file, {"run": expected(stored_linears(TwoLinears(planned, INT8)))})


def test_other_integers_fail(int8_file: Path) -> None:
    with pytest.raises(CensusError, match=r"is not in run of graph\.pte"):
        census(int8_file, {"run": expected(stored_linears(TwoLinears(INT8, INT8, seed=1)))})


def test_other_scales_fail(int8_file: Path) -> None:
    first, second = expected(stored_linears(TwoLinears(INT8, INT8)))
    other = replace(first, scale_key="0" * 64)
    with pytest.raises(CensusError, match=r"was written into .* of other values"):
        census(int8_file, {"run": (other, second)})


def test_a_quantized_layer_that_nobody_planned_fails(int8_file: Path) -> None:
    with pytest.raises(CensusError, match="2 layers with weights where the recipe knows 1"):
        census(int8_file, {"run": expected(stored_linears(TwoLinears(INT8, INT8)))[:1]})


def test_a_missing_method_fails(int8_file: Path) -> None:
    with pytest.raises(CensusError, match="no method walk"):
        census(int8_file, {"walk": ()})


def without_partitioner(path: Path, program: torch.export.ExportedProgram) -> None:
    from executorch.exir import EdgeCompileConfig, to_edge

    edge = to_edge({"run": program}, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    with path.open("wb") as file:
        edge.to_executorch().write_to_file(file)


def test_layers_outside_the_delegate_fail(tmp_path: Path) -> None:
    graph = TwoLinears(FLOAT, FLOAT)
    path = tmp_path / "graph.pte"
    without_partitioner(path, traced(graph))
    with pytest.raises(CensusError, match=r"fc1.*Outside the delegates run aten::"):
        census(path, {"run": expected(stored_linears(graph))})


def test_not_a_program(tmp_path: Path) -> None:
    path = tmp_path / "graph.pte"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(ExportError, match="not an ExecuTorch program"):
        census(path, {})
