"""What onnxruntime itself refuses, and how that reads."""

from pathlib import Path

import onnx
import onnxruntime
import pytest

from pocketvl.runtime.engines.onnx.session import open_session
from pocketvl.runtime.errors import EngineError
from tests.runtime.engines.onnx.models import model, outside, save


def refusal(value: onnx.ModelProto, folder: Path) -> str:
    """Beside the model: w.onnx_data of 64 bytes; above it: secret, and a link to that beside the model."""
    path = save(value, folder / "onnx" / "m.onnx")
    (path.parent / "w.onnx_data").write_bytes(bytes(64))
    (folder / "secret").write_bytes(bytes(64))
    (path.parent / "link").symlink_to(folder / "secret")
    with pytest.raises(EngineError) as raised:
        open_session(onnxruntime, path, 1)
    text = str(raised.value)
    assert str(path) in text
    assert f"onnxruntime {onnxruntime.__version__}" in text
    assert "\n" not in text
    assert text.endswith("again.")
    return text


def test_a_sound_model_is_opened(tmp_path: Path) -> None:
    (tmp_path / "w.onnx_data").write_bytes(bytes(64))
    path = save(model(outside("a", "w.onnx_data", 48)), tmp_path / "m.onnx")
    assert open_session(onnxruntime, path, 1).get_inputs()[0].name == "x"


@pytest.mark.parametrize(
    "location", [None, "", "../secret", "/etc/passwd", "a/../../secret", "link", "*/_ORT_MEM_ADDR_/*"]
)
def test_data_outside_of_the_folder_are_refused(tmp_path: Path, location: str | None) -> None:
    """The runtime leaves this to onnxruntime: it must stay so."""
    refusal(model(outside("a", location)), tmp_path)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "onnx" / "other.onnx_data") in refusal(
        model(outside("a", "other.onnx_data")), tmp_path
    )


@pytest.mark.parametrize("offset", [49, 64, 10**18])
def test_a_short_data_file_is_refused(tmp_path: Path, offset: int) -> None:
    refusal(model(outside("a", "w.onnx_data", offset)), tmp_path)


@pytest.mark.parametrize(
    ("versions", "what"),
    [
        ({"opset": 999}, "opset 999 of ai.onnx"),
        ({"contrib": 99}, "opset 99 of com.microsoft"),
        ({"ir_version": 99}, "IR version 99"),
    ],
)
def test_newer_versions_are_named(tmp_path: Path, versions: dict[str, int], what: str) -> None:
    text = refusal(model(**versions), tmp_path)
    assert f"is written in {what}, which onnxruntime" in text
    assert "pip install -U onnxruntime" in text
