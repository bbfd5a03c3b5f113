"""What is kept, and what counts as the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvl.evaluate.sweep.export_task import export_key
from pocketvl.evaluate.sweep.store import Store, content_key, write_atomically
from pocketvl.export.component import ExportSettings
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.errors import CalibrationError, PocketVLError

SETTINGS = ExportSettings()
INT4 = named_recipe("int4")
TARGET = target_for(names.EXECUTORCH)
EXPORTS = {
    "checkpoint": ("b", TARGET, INT4, SETTINGS),
    "recipe": ("a", TARGET, named_recipe("int8"), SETTINGS),
    "method": ("a", TARGET, named_recipe("int4", "hqq"), SETTINGS),
    "name": ("a", TARGET, replace(INT4, name="mine"), SETTINGS),
    "buckets": ("a", TARGET, INT4, ExportSettings(buckets=(256,))),
    "context": ("a", TARGET, INT4, ExportSettings(max_context=512)),
    "target": ("a", replace(TARGET, name=names.ONNX), INT4, SETTINGS),
    "tools": ("a", replace(TARGET, packages=("torch",)), INT4, SETTINGS),
}


@pytest.mark.parametrize("change", list(EXPORTS))
def test_whatever_changes_a_bundle_changes_its_key(change: str) -> None:
    assert export_key(*EXPORTS[change]) != export_key("a", TARGET, INT4, SETTINGS)


def test_equal_exports_have_one_key() -> None:
    again = export_key("a", TARGET, named_recipe("int4"), ExportSettings())
    assert again == export_key("a", TARGET, INT4, SETTINGS)


def test_calibration_counts_by_its_content(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    recipe = named_recipe("int4", "gptq").with_calibration(str(data), 1)
    keys = []
    for prompt in ("What is this?", "What is that?", "What is this?"):
        data.write_text(json.dumps({"prompt": prompt}))
        keys.append(export_key("a", TARGET, recipe, SETTINGS))
    assert keys[0] == keys[2] != keys[1]
    data.unlink()
    with pytest.raises(CalibrationError, match="check the path"):
        export_key("a", TARGET, recipe, SETTINGS)


def test_keys_do_not_depend_on_the_order_of_parts() -> None:
    assert content_key(a=1, b=(2, 3)) == content_key(b=[2, 3], a=1)
    assert content_key(a=1) != content_key(b=1)


def test_a_result_is_read_back_and_its_partial_file_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.read("answers", "k") is None
    store.partial("k").parent.mkdir(parents=True)
    store.partial("k").write_text("half")
    store.write("answers", "k", [{"score": 1.0}])
    assert store.read("answers", "k") == [{"score": 1.0}]
    assert not store.partial("k").exists()


def test_a_damaged_result_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("speed", "k", {"decode_rate": 1.0})
    (file,) = (tmp_path / "cache" / "speed").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert store.read("speed", "k") is None


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        Store(tmp_path).locked(),
        pytest.raises(PocketVLError, match="Another sweep is working"),
        Store(tmp_path).locked(),
    ):
        pass
    with Store(tmp_path).locked():
        pass


def test_what_a_killed_sweep_left_of_a_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".report.html.new").write_bytes(b"half")
    write_atomically(tmp_path / "report.html", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(PocketVLError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "report.html", b"new")
    assert (tmp_path / "file").read_text() == "a file"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
