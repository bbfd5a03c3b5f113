"""Files of weights that a .onnx file names."""

from pathlib import Path

import pytest

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.check import check_model
from tests.runtime.onnx.models import model, nested, outside, save

SIZES = {"onnx/m.onnx": 1, "onnx/w.onnx_data": 4112, "secret": 10**9}


def test_a_sound_model_passes(tmp_path: Path) -> None:
    save(model(outside("a", "w.onnx_data", 4096)), tmp_path / "onnx/m.onnx")
    assert len(check_model(tmp_path, "onnx/m.onnx", SIZES).external) == 1


@pytest.mark.parametrize(
    "location", [None, "", "../secret", "/etc/passwd", "a/../../secret", "..\\secret", "*/_ORT_MEM_ADDR_/*"]
)
def test_data_outside_of_the_bundle_are_refused(tmp_path: Path, location: str | None) -> None:
    save(model(outside("a", location)), tmp_path / "onnx/m.onnx")
    with pytest.raises(BundleError, match=r"no file of the bundle|is missing"):
        check_model(tmp_path, "onnx/m.onnx", SIZES)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    save(model(outside("a", "other.onnx_data")), tmp_path / "onnx/m.onnx")
    with pytest.raises(BundleError, match=r"onnx/other\.onnx_data, which is missing"):
        check_model(tmp_path, "onnx/m.onnx", SIZES)


@pytest.mark.parametrize("offset", [4097, 4112, 10**18])
def test_a_short_data_file_is_named(tmp_path: Path, offset: int) -> None:
    save(model(outside("a", "w.onnx_data", 0), outside("b", "w.onnx_data", offset)), tmp_path / "onnx/m.onnx")
    with pytest.raises(
        BundleError, match=rf"has 4112 bytes, but 'b' of onnx/m\.onnx ends at byte {offset + 16}"
    ):
        check_model(tmp_path, "onnx/m.onnx", SIZES)


def test_tensors_inside_of_nodes_are_checked_too(tmp_path: Path) -> None:
    save(nested("gone"), tmp_path / "onnx/m.onnx")
    with pytest.raises(BundleError, match="gone, which is missing"):
        check_model(tmp_path, "onnx/m.onnx", SIZES)
