"""Versions of ONNX that the installed onnxruntime does not take."""

from pathlib import Path

import onnxruntime
import pytest

from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.onnx.header import read_header
from pocketvl.runtime.onnx.versions import check_versions
from tests.runtime.onnx.models import model, save


def check(folder: Path, **versions: int) -> None:
    path = save(model(**versions), folder / "m.onnx")
    check_versions(onnxruntime, path, read_header(path))


@pytest.mark.parametrize(("opset", "ir_version"), [(21, 10), (13, 7), (18, 8)])
def test_usual_versions_pass(tmp_path: Path, opset: int, ir_version: int) -> None:
    check(tmp_path, opset=opset, ir_version=ir_version)


@pytest.mark.parametrize(
    ("versions", "what"),
    [
        ({"opset": 999}, r"opset 999 of ai\.onnx"),
        ({"contrib": 99}, r"opset 99 of com\.microsoft"),
        ({"ir_version": 99}, "IR version 99"),
    ],
)
def test_file_version_and_onnxruntime_are_named(tmp_path: Path, versions: dict[str, int], what: str) -> None:
    with pytest.raises(EngineError, match=what) as raised:
        check(tmp_path, **versions)
    text = str(raised.value)
    assert str(tmp_path / "m.onnx") in text
    assert f"onnxruntime {onnxruntime.__version__}" in text
    assert "pip install -U onnxruntime" in text
