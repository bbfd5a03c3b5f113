"""Functions over one cache against the torch module that they were made from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.errors import EngineError
from tests.runtime.engines.coreml.packages import (
    LAYERS,
    SLOTS,
    WIDTH,
    CachedAttention,
    changed,
    save_stateful,
    seen,
)

ENOUGH_CACHE = 1 << 20


@pytest.fixture(scope="module")
def float_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stateful") / "float.mlpackage"
    save_stateful(path, (1, 4), int4=False)
    return path


@pytest.fixture(scope="module")
def int4_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stateful") / "int4.mlpackage"
    save_stateful(path, (1, 4), int4=True)
    return path


def tokens(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, count, WIDTH)).astype(np.float16)


def arguments(x: np.ndarray, start: int) -> dict[str, np.ndarray]:
    return {"x": x, "start": np.array([start], np.int32), "mask": seen(x.shape[1], start)}


def by_torch(module: CachedAttention, x: np.ndarray, start: int) -> np.ndarray:
    inputs = (x.astype(np.float32), np.array([start]), seen(x.shape[1], start).astype(np.float32))
    with torch.no_grad():
        result: np.ndarray = module(*map(torch.from_numpy, inputs)).numpy()
    return result


def test_signature(float_package: Path) -> None:
    package = Package.open(float_package)
    assert package.default == "tokens_1"
    assert set(package.functions) == {"tokens_1", "tokens_4"}
    signature = package.functions["tokens_4"]
    assert {name: str(kind) for name, kind in signature.inputs.items()} == {
        "x": f"float16 [1, 4, {WIDTH}]",
        "start": "int32 [1]",
        "mask": f"float16 [4, {SLOTS}]",
    }
    assert {name: str(kind) for name, kind in signature.outputs.items()} == {"y": f"float16 [1, 4, {WIDTH}]"}
    assert {name: str(kind) for name, kind in signature.states.items()} == {
        "k_cache": f"float16 [{LAYERS}, 1, {SLOTS}, {WIDTH}]"
    }


@pytest.mark.parametrize("cache", [0, ENOUGH_CACHE, WIDTH * WIDTH * 4 + 1])
@pytest.mark.parametrize("kind", ["float", "int4"])
def test_prefill_and_decode_share_the_cache(kind: str, cache: int, request: pytest.FixtureRequest) -> None:
    package = Package.open(request.getfixturevalue(f"{kind}_package"), weight_cache_bytes=cache)
    module = CachedAttention()
    state = package.new_state("tokens_1")
    start = 0
    for seed, count in enumerate((4, 1, 1, 4, 1)):
        x = tokens(count, seed)
        y = package.function(f"tokens_{count}").run(arguments(x, start), state)["y"]
        assert y.dtype == np.float16
        np.testing.assert_allclose(y, by_torch(module, x, start), rtol=2e-3, atol=4e-3)
        start += count


def test_two_states_do_not_see_each_other(float_package: Path) -> None:
    package = Package.open(float_package)
    function = package.function("tokens_1")
    ours, other = package.new_state("tokens_1"), package.new_state("tokens_1")
    function.run(arguments(tokens(1, 0), 0), ours)
    alone = function.run(arguments(tokens(1, 1), 1), other)["y"]
    both = function.run(arguments(tokens(1, 1), 1), ours)["y"]
    assert np.abs(alone - both).max() > 0.05


def test_outputs_stay_and_inputs_may_change_after_a_run(float_package: Path) -> None:
    package = Package.open(float_package)
    function, state = package.function("tokens_1"), package.new_state("tokens_1")
    given = arguments(tokens(1, 0), 0)
    first = function.run(given, state)["y"]
    kept = first.copy()
    given["x"][:] = 0
    again = function.run(arguments(tokens(1, 0), 0), state)["y"]
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(again, kept)


def test_a_failed_run_leaves_the_state(float_package: Path) -> None:
    package = Package.open(float_package)
    function, state = package.function("tokens_4"), package.new_state("tokens_4")
    x = tokens(4, 0)
    with pytest.raises(EngineError, match="slice_update"):  # four tokens into the last two slots
        function.run(arguments(x, SLOTS - 2), state)
    result = function.run(arguments(x, 0), state)["y"]
    expected = function.run(arguments(x, 0), package.new_state("tokens_4"))["y"]
    np.testing.assert_array_equal(result, expected)


def test_rounding_is_seen_and_small(float_package: Path) -> None:
    results = [
        package.function("tokens_4").run(arguments(tokens(4, 0), 0), package.new_state("tokens_4"))["y"]
        for package in (Package.open(float_package), Package.open(float_package, round_fp16=True))
    ]
    difference = np.abs(results[0].astype(np.float32) - results[1])
    assert 0 < difference.max() < 0.02


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": None}, "needs the input 'x', float16 [1, 1, 32]"),
        ({"z": np.zeros(1)}, "no input 'z'; its inputs are: x, start, mask"),
        ({"x": np.zeros((1, 2, WIDTH), np.float16)}, "must be float16 [1, 1, 32], not float16 [1, 2, 32]"),
        ({"x": np.zeros((1, 1, WIDTH), np.float32)}, "not float32 [1, 1, 32]"),
        ({"start": np.array([0])}, "must be int32 [1], not int64 [1]"),
    ],
)
def test_wrong_inputs_are_refused(
    float_package: Path, change: dict[str, np.ndarray | None], text: str
) -> None:
    package = Package.open(float_package)
    given = {**arguments(tokens(1, 0), 0), **change}
    with pytest.raises(EngineError) as error:
        package.function("tokens_1").run(
            {name: array for name, array in given.items() if array is not None},
            package.new_state("tokens_1"),
        )
    assert text in str(error.value)
    assert "'tokens_1'" in str(error.value)


def test_a_missing_or_foreign_state_is_refused(float_package: Path, tmp_path: Path) -> None:
    def shorter(model: object) -> None:
        for function in model.mlProgram.functions.values():  # type: ignore[attr-defined]
            for port in function.inputs:
                if port.name == "k_cache":
                    port.type.stateType.wrappedType.tensorType.dimensions[2].constant.size = 32

    package = Package.open(float_package)
    function = package.function("tokens_1")
    with pytest.raises(EngineError, match="needs a state with k_cache"):
        function.run(arguments(tokens(1, 0), 0))
    other = Package.open(changed(float_package, tmp_path / "other.mlpackage", shorter)).new_state("tokens_1")
    with pytest.raises(EngineError, match=r"k_cache.*\[2, 1, 64, 32\].*\[2, 1, 32, 32\]"):
        function.run(arguments(tokens(1, 0), 0), other)


def test_an_unknown_function_is_refused(float_package: Path) -> None:
    package = Package.open(float_package)
    for call in (package.function, package.new_state):
        with pytest.raises(EngineError, match="no function 'prefill'; its functions are: tokens_1, tokens_4"):
            call("prefill")
