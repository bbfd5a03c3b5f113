"""Weights that float16 does not hold are refused by the name of their layer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.weights import Stack, externalize
from pocketvl.export.weights import write_table
from pocketvl.quant.recipe import Precision, named_recipe
from pocketvl.runtime.errors import ExportError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource

SOURCE = RandomSource(SMALL_GEOMETRY)
TEXT = SMALL_GEOMETRY.text


class Scaled:
    """A source whose tensors' largest value is `largest`."""

    def __init__(self, largest: float) -> None:
        self.geometry, self.largest = SOURCE.geometry, largest

    def tensor(self, name: str) -> torch.Tensor:
        value = SOURCE.tensor(name).double()
        return (value * (self.largest / value.abs().max())).float()

    def quantized(self, layer: str) -> None:
        return None


def up_and_gate(precision: Precision) -> torch.nn.Module:
    shape = (TEXT.intermediate_size, TEXT.hidden_size, False)
    layers = [Layer(name, f"model.layers.1.mlp.{name}_proj", *shape) for name in ("gate", "up")]
    return torch.nn.Sequential(Stack(*(Linear(layer, precision) for layer in layers)))


@pytest.mark.parametrize("largest", [65520.0, 1e9])
def test_weights_beyond_float16_are_refused(tmp_path: Path, largest: float) -> None:
    with (
        DataFile(tmp_path / "data") as data,
        pytest.raises(ExportError, match=r"of gate reach .* ends at 65504; give the layer 32 or 8 bits"),
    ):
        externalize(up_and_gate(Precision(16)), Scaled(largest), "rtn", data)
    with DataFile(tmp_path / "data") as data:
        externalize(up_and_gate(Precision(32)), Scaled(largest), "rtn", data)


def test_the_largest_float16_is_taken(tmp_path: Path) -> None:
    graph = up_and_gate(Precision(16))
    with DataFile(tmp_path / "data") as data:
        externalize(graph, Scaled(65504.0), "rtn", data)
    assert (tmp_path / "data").stat().st_size == 2 * 2 * TEXT.intermediate_size * TEXT.hidden_size


def test_a_table_beyond_float16_is_refused(tmp_path: Path) -> None:
    untied = replace(SMALL_GEOMETRY, text=replace(TEXT, tie_word_embeddings=False))
    plan = resolve(named_recipe("fp16"), untied)
    with pytest.raises(ExportError, match=r"embed_tokens\.weight reach 70000, .* give lm_head"):
        write_table(Scaled(7e4), plan, tmp_path)
