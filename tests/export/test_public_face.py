"""`from pocketvl.export import export_bundle`: strings in, the same export as the command line's."""

from pathlib import Path

import pytest

from pocketvl.export import export_bundle
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import ExportError, RecipeError, UsageError
from tests.support.checkpoints import write_checkpoint
from tests.support.exporters import QUICK
from tests.support.geometries import ONE_LAYER


def test_a_bundle_by_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvl.export.targets.target_for", lambda _: QUICK)
    write_checkpoint(tmp_path / "small", ONE_LAYER)
    said: list[str] = []
    steps: list[float] = []
    manifest = export_bundle(
        str(tmp_path / "small"),
        str(tmp_path / "out"),
        target="executorch",
        recipe="int4",
        buckets=[16, 64],
        max_context=64,
        prefill_chunk=8,
        progress=lambda _, share: steps.append(share),
        warn=said.append,
    )
    assert open_bundle(tmp_path / "out", verify="always").manifest == manifest
    assert (manifest.recipe, manifest.quantization_method, manifest.max_context) == ("int4", "rtn", 64)
    assert "rounded to nearest" in said[0]  # no data was given to calibrate on
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    with pytest.raises(ExportError, match="--overwrite"):
        export_bundle(tmp_path / "small", tmp_path / "out")


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'tflite' is no target; known are executorch, coreml, onnx"):
        export_bundle("tiny", tmp_path / "out", target="tflite")
    with pytest.raises(RecipeError, match="'int3'"):
        export_bundle("tiny", tmp_path / "out", recipe="int3")
    assert not list(tmp_path.iterdir())
