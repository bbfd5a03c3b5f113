"""The census must fail whenever a package does not hold what the recipe names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvl.export.census import Expected, layer_groups
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.function import Signature, Weights, build_function, prepare
from pocketvl.export.coreml.package import Description, write_package
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.manifest import LayerGroup, TensorSpec
from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.errors import CensusError, ExportError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource

INT4, INT8, FLOAT = Precision(4, 32), Precision(8), Precision(32)
SIZE = 64 * 128
SIGNATURE = Signature("run", (TensorSpec("x", "float16", (2, 64)),), TensorSpec("y", "float16", (2, 64)))


class TwoLinears(nn.Module):
    """The first block's two linear layers around a gate, with the bits of the caller's choice."""

    def __init__(self, first: Precision, second: Precision) -> None:
        super().__init__()
        block, source = "vision_encoder.blocks.0", "visual.blocks.0.mlp"
        self.first = Linear(Layer(f"{block}.fc1", f"{source}.fc1", 128, 64, True), first)
        self.second = Linear(Layer(f"{block}.fc2", f"{source}.fc2", 64, 128, True), second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.sigmoid(self.first(x)))


def prepared(first: Precision, second: Precision, seed: int = 0) -> tuple[TwoLinears, Weights]:
    graph = TwoLinears(first, second)
    return graph, prepare(graph, RandomSource(SMALL_GEOMETRY, seed), "rtn", lambda _: None)


def written(first: Precision, second: Precision, folder: Path) -> Path:
    graph, weights = prepared(first, second)
    path = folder / "two.mlpackage"
    write_package(path, {"run": build_function(graph, SIGNATURE, weights)}, Description("", "", {}, {}))
    return path


def planned(first: Precision, second: Precision, seed: int = 0) -> tuple[Expected, ...]:
    return expected(prepared(first, second, seed)[1].values())


class DecidedSource(RandomSource):
    """Calibrated, or of a packed checkpoint: the integers of one layer are there already."""

    def quantized(self, layer: str) -> QuantizedLinear | None:  # type: ignore[override]
        if not layer.endswith("fc1"):
            return None
        integers = np.arange(SIZE).reshape(128, 64) % 16 - 8
        return QuantizedLinear(integers.astype(np.int8), np.full((128, 2), 0.25, np.float32), 4, 32)


def test_integers_decided_beforehand_are_kept(tmp_path: Path) -> None:
    graph, source = TwoLinears(INT4, INT8), DecidedSource(SMALL_GEOMETRY)
    weights = prepare(graph, source, "rtn", lambda _: None)
    decided = source.quantized("fc1")
    assert decided is not None
    np.testing.assert_array_equal(weights["first"].data, decided.integers)
    path = tmp_path / "two.mlpackage"
    write_package(path, {"run": build_function(graph, SIGNATURE, weights)}, Description("", "", {}, {}))
    x = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float16)
    (y,) = Package.open(path).function("run").run({"x": x}).values()
    bias = source.tensor("visual.blocks.0.mlp.fc1.bias").numpy()
    inner = x.astype(np.float32) @ decided.dequantize().T + bias
    second = weights["second"]
    assert second.scales is not None
    matrix = second.data.astype(np.float32) * second.scales.astype(np.float32)
    wanted = (1 / (1 + np.exp(-inner))) @ matrix.T + source.tensor("visual.blocks.0.mlp.fc2.bias").numpy()
    np.testing.assert_allclose(y, wanted, rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(INT4, INT8, tmp_path_factory.mktemp("census"))


def test_finds_what_was_planned(package: Path) -> None:
    wanted = planned(INT4, INT8)
    found = census(package, {"run": wanted})
    assert set(found) == {"vision_encoder.blocks.0.fc1", "vision_encoder.blocks.0.fc2"}
    assert layer_groups("two", wanted, found) == (
        LayerGroup("two", 4, 32, 1, SIZE, SIZE // 2 + SIZE // 32 * 2),
        LayerGroup("two", 8, None, 1, SIZE, SIZE + 64 * 2),
    )


def test_floats_are_found_as_fp16(tmp_path: Path) -> None:
    wanted = planned(FLOAT, FLOAT)
    found = census(written(FLOAT, FLOAT, tmp_path), {"run": wanted})
    assert layer_groups("two", wanted, found) == (LayerGroup("two", 32, None, 2, 2 * SIZE, 4 * SIZE),)


@pytest.mark.parametrize("precision", [INT8, Precision(4, 64), FLOAT])
def test_other_bits_than_planned_fail(package: Path, precision: Precision) -> None:
    with pytest.raises(CensusError, match=r"blocks\.0\.fc1"):
        census(package, {"run": planned(precision, INT8)})


def test_other_integers_fail(package: Path) -> None:
    with pytest.raises(CensusError, match=r"is not in run of two\.mlpackage"):
        census(package, {"run": planned(INT4, INT8, seed=1)})


def test_other_scales_fail(package: Path) -> None:
    first, second = planned(INT4, INT8)
    other = replace(first, scale_key="0" * 64)
    with pytest.raises(CensusError, match="was written into"):
        census(package, {"run": (other, second)})


def test_a_layer_that_nobody_planned_fails(package: Path) -> None:
    with pytest.raises(CensusError, match="2 layers with weights where the recipe knows 1"):
        census(package, {"run": planned(INT4, INT8)[:1]})


def test_a_missing_function_fails(package: Path) -> None:
    with pytest.raises(CensusError, match="no function walk"):
        census(package, {"walk": ()})


def test_one_weight_stored_twice_fails(tmp_path: Path) -> None:
    graph, weights = prepared(INT4, INT8)
    functions = {name: build_function(graph, SIGNATURE, weights) for name in ("run", "walk")}
    # Another id for the same integers is another copy of them.
    operation = functions["walk"].find_ops(op_type="constexpr_blockwise_shift_scale")[0]
    operation.data.op._weight_id = "a copy"
    path = tmp_path / "two.mlpackage"
    write_package(path, functions, Description("", "", {}, {}))
    with pytest.raises(CensusError, match="more than once"):
        census(path, dict.fromkeys(functions, planned(INT4, INT8)))


def test_a_layer_that_does_not_arrive_fails() -> None:
    graph, weights = prepared(INT4, INT8)
    with pytest.raises(ExportError, match="did not arrive in the Core ML function run"):
        build_function(graph, SIGNATURE, {"third": weights["first"]})


def test_a_weight_of_another_shape_fails() -> None:
    graph, weights = prepared(INT4, INT8)
    with pytest.raises(ExportError, match=r"\[64, 128\] in the Core ML graph"):
        build_function(graph, SIGNATURE, {"second": weights["first"]})


def test_values_beyond_float16_fail() -> None:
    graph = TwoLinears(FLOAT, FLOAT)
    source = RandomSource(SMALL_GEOMETRY, std=1e5)
    with pytest.raises(ExportError, match="ends at 65504"):
        prepare(graph, source, "rtn", lambda _: None)
