"""One saved program with most ops in it, as coremltools writes their parameters, against numpy and torch."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import types

from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.engines.coreml.parse import STATE_OPS
from pocketvl.runtime.errors import EngineError
from tests.runtime.engines.coreml.packages import TARGET, changed, save_program

WEIGHT = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
GAMMA = np.random.default_rng(2).normal(size=8).astype(np.float32)
TABLE = np.random.default_rng(3).normal(size=(16, 8)).astype(np.float32)


@Builder.program(
    input_specs=[Builder.TensorSpec((2, 3, 8)), Builder.TensorSpec((2, 4), dtype=types.int32)],
    opset_version=TARGET,
)
def many_ops(x, ids):  # type: ignore[no-untyped-def]
    rows = Builder.gather(
        x=TABLE,
        indices=Builder.select(cond=Builder.greater_equal(x=ids, y=0), a=ids, b=Builder.add(x=ids, y=16)),
    )
    normed = Builder.layer_norm(x=x, axes=[-1], gamma=GAMMA, beta=-GAMMA, epsilon=1e-3)
    scale = Builder.rsqrt(
        x=Builder.reduce_mean(x=Builder.square(x=x), axes=[-1], keep_dims=True), epsilon=1e-4
    )
    first, second = Builder.split(x=Builder.mul(x=x, y=scale), split_sizes=[1, 2], axis=1)
    joined = Builder.concat(values=[second, first], axis=1)
    folded = Builder.reshape(x=joined, shape=[2, 3, 2, -1])
    moved = Builder.squeeze(
        x=Builder.slice_by_size(
            x=Builder.transpose(x=folded, perm=[0, 2, 1, 3]), begin=[0, 1, 0, 0], size=[2, 1, -1, 3]
        ),
        axes=[1],
    )
    tiled = Builder.tile(x=Builder.expand_dims(x=moved, axes=[1]), reps=[1, 2, 1, 1])
    sliced = Builder.slice_by_index(
        x=x,
        begin=[0, 2, 1],
        end=[0, 0, 0],
        stride=[1, -1, 3],
        begin_mask=[True, False, False],
        end_mask=[False, True, True],
        squeeze_mask=[True, False, False],
    )
    linear = Builder.linear(x=normed, weight=WEIGHT, bias=np.arange(6, dtype=np.float32))
    gated = Builder.mul(
        x=Builder.silu(x=linear), y=Builder.sigmoid(x=Builder.gelu(x=linear, mode="SIGMOID_APPROXIMATION"))
    )
    scores = Builder.softmax(x=Builder.matmul(x=x, y=rows, transpose_y=True), axis=-1)
    attended = Builder.scaled_dot_product_attention(query=Builder.pow(x=x, y=2.0), key=rows, value=rows)
    bounds = Builder.maximum(
        x=Builder.minimum(x=Builder.real_div(x=x, y=3.0), y=0.5), y=Builder.sub(x=x, y=1.5)
    )
    counted = Builder.cast(x=Builder.sqrt(x=Builder.abs(x=Builder.mul(x=x, y=10.0))), dtype="int32")
    updated = Builder.slice_update(x=x, update=Builder.sub(x=first, y=1.0), begin=[0, 1, 0], end=[2, 2, 8])
    return tiled, sliced, gated, scores, attended, bounds, counted, updated


def expected(x: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    t, rows = torch.from_numpy(x), torch.from_numpy(TABLE[ids])  # numpy takes -1 for the last row
    gamma = torch.from_numpy(GAMMA)
    normed = torch.nn.functional.layer_norm(t, (8,), gamma, -gamma, 1e-3)
    scaled = t * (t.square().mean(-1, keepdim=True) + 1e-4) ** -0.5
    folded = torch.cat([scaled[:, 1:], scaled[:, :1]], 1).reshape(2, 3, 2, 4)
    linear = normed @ torch.from_numpy(WEIGHT).T + torch.arange(6)
    results = [
        folded[:, :, 1, :3][:, None].repeat(1, 2, 1, 1),
        t.flip(1)[0, :, 1::3],
        linear * linear.sigmoid() * (linear * (1.702 * linear).sigmoid()).sigmoid(),
        torch.softmax(t @ rows.mT, -1),
        torch.nn.functional.scaled_dot_product_attention(t**2, rows, rows),
        torch.maximum(torch.clamp(t / 3, max=0.5), t - 1.5),
        (t * 10).abs().sqrt().int(),
        torch.cat([t[:, :1], scaled[:, :1] - 1, t[:, 2:]], 1),
    ]
    return [result.numpy() for result in results]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_program(many_ops, tmp_path_factory.mktemp("program") / "many.mlpackage")


def inputs(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(2, 3, 8)).astype(np.float32),
        "ids": rng.integers(-16, 16, (2, 4)).astype(np.int32),
    }


def test_many_ops_in_float32(package: Path) -> None:
    opened = Package.open(package)
    outputs = opened.function().run(inputs())
    for (name, actual), wanted in zip(outputs.items(), expected(**inputs()), strict=True):
        assert actual.dtype == wanted.dtype, name
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_same_in_float16(tmp_path: Path) -> None:
    path = save_program(many_ops, tmp_path / "half.mlpackage", fp16=True)
    for round_fp16, tolerance in ((False, 4e-3), (True, 2e-2)):
        outputs = Package.open(path, round_fp16=round_fp16).function().run(inputs())
        for (name, actual), wanted in zip(outputs.items(), expected(**inputs()), strict=True):
            if actual.dtype == np.int32:  # a root next to an integer may fall to either side
                assert np.abs(actual - wanted).max() <= 1
            else:
                np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance, err_msg=name)


def test_an_unknown_op_is_refused_before_anything_runs(package: Path, tmp_path: Path) -> None:
    def rename(model) -> None:  # type: ignore[no-untyped-def]
        operation = next(op for op in operations(model) if op.type == "softmax")
        operation.type = "hardmax"

    opened = Package.open(changed(package, tmp_path / "unknown.mlpackage", rename))
    with pytest.raises(EngineError, match=r"hardmax '\w+' in the function 'main' of .*unknown\.mlpackage"):
        opened.function()


def test_an_unknown_parameter_is_refused(package: Path, tmp_path: Path) -> None:
    def add(model) -> None:  # type: ignore[no-untyped-def]
        operation = next(op for op in operations(model) if op.type == "softmax")
        operation.inputs["temperature"].CopyFrom(operation.inputs["axis"])

    opened = Package.open(changed(package, tmp_path / "parameter.mlpackage", add))
    with pytest.raises(EngineError, match=r"softmax .* 'temperature'"):
        opened.function()


def test_a_list_for_one_value_is_refused(package: Path, tmp_path: Path) -> None:
    def double(model) -> None:  # type: ignore[no-untyped-def]
        operation = next(op for op in operations(model) if op.type == "softmax")
        operation.inputs["x"].arguments.add().name = "x"

    opened = Package.open(changed(package, tmp_path / "list.mlpackage", double))
    with pytest.raises(EngineError, match=r"softmax .* has a list for 'x'"):
        opened.function()


def test_a_text_for_an_array_is_refused(package: Path, tmp_path: Path) -> None:
    def confuse(model) -> None:  # type: ignore[no-untyped-def]
        operation = next(op for op in operations(model) if op.type == "cast")
        operation.inputs["x"].CopyFrom(operation.inputs["dtype"])

    opened = Package.open(changed(package, tmp_path / "text.mlpackage", confuse))
    with pytest.raises(EngineError, match=r"cast .* cannot be computed"):
        opened.function().run(inputs())


def test_a_shape_that_is_not_as_declared_is_refused(package: Path, tmp_path: Path) -> None:
    def widen(model) -> None:  # type: ignore[no-untyped-def]
        operation = next(op for op in operations(model) if op.type == "softmax")
        operation.outputs[0].type.tensorType.dimensions[2].constant.size = 5

    opened = Package.open(changed(package, tmp_path / "shape.mlpackage", widen))
    with pytest.raises(EngineError, match=r"softmax .* gives shapes .*2, 3, 4.* declares .*2, 3, 5"):
        opened.function().run(inputs())


@Builder.program(input_specs=[Builder.TensorSpec((512, 512))], opset_version=TARGET)
def long_chain(x):  # type: ignore[no-untyped-def]
    for step in range(24):
        x = Builder.add(x=Builder.mul(x=x, y=1.5), y=float(step))
    return x


def test_values_are_freed_after_their_last_use(tmp_path: Path) -> None:
    """48 values of a megabyte each, of which a few are in memory at a time."""
    function = Package.open(save_program(long_chain, tmp_path / "chain.mlpackage")).function()
    given = {"x": np.ones((512, 512), np.float32)}
    tracemalloc.start()
    try:
        function.run(given)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * given["x"].nbytes


def operations(model) -> list:  # type: ignore[no-untyped-def, type-arg]
    (function,) = model.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    assert not {op.type for op in block.operations} & set(STATE_OPS)
    return list(block.operations)
