"""What is refused when a package is opened: its files, its program, its weights."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.errors import BundleError, EngineError, MissingExtraError
from tests.runtime.engines.coreml.packages import TARGET, changed, save_program

WEIGHT = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)


@Builder.program(input_specs=[Builder.TensorSpec((2, 8))], opset_version=TARGET)
def one_linear(x):  # type: ignore[no-untyped-def]
    return Builder.linear(x=x, weight=WEIGHT, name="y")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_program(one_linear, tmp_path_factory.mktemp("package") / "sound.mlpackage")


@pytest.fixture
def package(sound: Path, tmp_path: Path) -> Path:
    return changed(sound, tmp_path / "package.mlpackage", lambda model: None)


def refusal(package: Path) -> str:
    with pytest.raises(BundleError) as error:
        Package.open(package)
    assert str(package) in str(error.value)
    return str(error.value)


def test_a_sound_package_runs(package: Path) -> None:
    x = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
    (y,) = Package.open(package).function().run({"x": x}).values()
    np.testing.assert_allclose(y, x @ WEIGHT.T, rtol=1e-5)


def rewrite(package: Path, change: Callable[[Any], None]) -> None:
    path = package / "Manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "path",
    [
        "../../secret.mlmodel",
        "/etc/hostname",
        "com.apple.CoreML/../../../x",
        "..\\x",
        "com.apple.CoreML\\..\\..\\x",
        "",
        "link",
    ],
)
def test_a_manifest_that_leaves_the_package_is_refused(package: Path, path: str) -> None:
    (package.parent / "secret.mlmodel").write_bytes(b"")
    (package / "Data" / "link").symlink_to(package.parent / "secret.mlmodel")

    def point_there(manifest: Any) -> None:
        manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = path

    rewrite(package, point_there)
    assert "not inside the package" in refusal(package)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"rootModelIdentifier": [], "itemInfoEntries": {}}', "[" * 10000]
)
def test_a_manifest_that_is_none_is_refused(package: Path, text: str) -> None:
    (package / "Manifest.json").write_text(text)
    assert "Manifest.json" in refusal(package)


@pytest.mark.parametrize("file", ["Manifest.json", "model.mlmodel", "weights/weight.bin"])
def test_missing_files_are_refused(package: Path, file: str) -> None:
    path = package / file if file == "Manifest.json" else package / "Data/com.apple.CoreML" / file
    path.unlink()
    assert file in refusal(package)


def test_no_package_at_all_is_refused(tmp_path: Path) -> None:
    assert "is" in refusal(tmp_path / "nothing.mlpackage")


def test_a_model_cut_off_is_refused(package: Path) -> None:
    model = package / "Data/com.apple.CoreML/model.mlmodel"
    model.write_bytes(model.read_bytes()[:-5])
    assert "is not a Core ML model" in refusal(package)


@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0.5)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_model_cut_off_anywhere_is_refused(package: Path, share: float) -> None:
    model = package / "Data/com.apple.CoreML/model.mlmodel"
    whole = model.read_bytes()
    model.write_bytes(whole[: int(share * len(whole))])
    try:
        assert "model.mlmodel" in refusal(package)
    finally:
        model.write_bytes(whole)


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_model_with_another_byte_runs_or_is_refused(package: Path, place: float, byte: int) -> None:
    """Never another error than ours, whatever the byte means."""
    model = package / "Data/com.apple.CoreML/model.mlmodel"
    whole = model.read_bytes()
    data = bytearray(whole)
    data[int(place * len(data))] = byte
    model.write_bytes(data)
    try:
        with suppress(BundleError, EngineError):
            function = Package.open(package).function()
            types = function.signature.inputs
            function.run({name: np.zeros(kind.shape, kind.numpy) for name, kind in types.items()})
    finally:
        model.write_bytes(whole)


def test_weights_cut_off_are_refused_before_anything_runs(package: Path) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "'val of " in refusal(package)


def only(model: Any) -> Any:
    """The block of the only function."""
    (function,) = model.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return block


def weight(model: Any) -> Any:
    return next(op for op in only(model).operations if "blobFileValue" in str(op))


def another_type(model: Any) -> None:
    model.Clear()
    model.identity.SetInParent()


def no_functions(model: Any) -> None:
    model.mlProgram.functions.clear()


def other_file(model: Any) -> None:
    weight(model).attributes["val"].blobFileValue.fileName = "@model_path/../../../secret.bin"


def other_offset(model: Any) -> None:
    weight(model).attributes["val"].blobFileValue.offset = 128


def other_dtype(model: Any) -> None:
    weight(model).attributes["val"].type.tensorType.dataType = 10


def larger(model: Any) -> None:
    weight(model).attributes["val"].type.tensorType.dimensions[0].constant.size = 1 << 40


def dynamic(model: Any) -> None:
    (function,) = model.mlProgram.functions.values()
    function.inputs[0].type.tensorType.dimensions[0].unknown.variadic = False


def undefined(model: Any) -> None:
    operation = next(op for op in only(model).operations if op.type == "linear")
    operation.inputs["x"].arguments[0].name = "z"


def undefined_output(model: Any) -> None:
    only(model).outputs[0] = "z"


def unknown_dtype(model: Any) -> None:
    (function,) = model.mlProgram.functions.values()
    function.inputs[0].type.tensorType.dataType = 40


def no_block(model: Any) -> None:
    (function,) = model.mlProgram.functions.values()
    function.opset = "CoreML99"


def no_value(model: Any) -> None:
    weight(model).attributes["val"].Clear()


def no_attribute(model: Any) -> None:
    del weight(model).attributes["val"]


def no_arguments(model: Any) -> None:
    operation = next(op for op in only(model).operations if op.type == "linear")
    operation.inputs["x"].Clear()


def short_immediate(model: Any) -> None:
    value = weight(model).attributes["val"]
    value.immediateValue.tensor.floats.values.append(1)


def nested(model: Any) -> None:
    only(model).operations[0].blocks.add()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (another_type, "identity"),
        (no_functions, "no functions"),
        (other_file, "secret.bin"),
        (other_offset, "no record"),
        (other_dtype, "as float32, but the program says float16"),
        (larger, "takes 35184372088832"),
        (dynamic, "dynamic shape"),
        (undefined, "uses 'z' in linear"),
        (undefined_output, "puts out 'z'"),
        (unknown_dtype, "element type 40"),
        (no_block, "CoreML99"),
        (no_value, "no value for"),
        (no_attribute, "has no value in const"),
        (no_arguments, "empty argument"),
        (short_immediate, "floats that do not make float32 [4, 8]"),
        (nested, "nested block"),
    ],
)
def test_a_program_that_cannot_be_meant_is_refused(
    sound: Path, tmp_path: Path, change: Callable[[Any], None], text: str
) -> None:
    assert text in refusal(changed(sound, tmp_path / "changed.mlpackage", change))


def test_opening_needs_neither_coremltools_itself_nor_torch(sound: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pocketvl.runtime.engines.coreml.package import Package\n"
        f"Package.open(Path({str(sound)!r})).function()\n"
        "assert not {'torch', 'coremltools'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4] / "runtime")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_without_coremltools_the_pip_command_is_named(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pocketvl_coremltools_proto")]:
        monkeypatch.delitem(sys.modules, name)
    for place in ("importlib.util.find_spec", "pocketvl.runtime.extras.find_spec"):
        monkeypatch.setattr(place, lambda name: None)
    monkeypatch.delitem(sys.modules, "coremltools", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[coreml\]'"):
        Package.open(sound)
