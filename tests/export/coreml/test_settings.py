"""What Core ML takes and refuses, known before any work."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pocketvl.cli.app import app
from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.target import COREML
from pocketvl.export.coreml.text import chunk_spans
from pocketvl.export.executorch.target import EXECUTORCH
from pocketvl.export.layer_plan import resolve
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.entry_points import token_counts
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import ExportError, MissingExtraError, UsageError
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.geometries import ONE_LAYER
from tests.support.random_source import FULL_TEXT

PLAN = resolve(named_recipe("int4"), SMALL_GEOMETRY)


@given(st.integers(1, 28))
def test_chunks_hold_every_layer_once(chunks: int) -> None:
    spans = chunk_spans(FULL_TEXT, ExportSettings(decoder_chunks=chunks))
    assert [layer for span in spans for layer in span] == list(range(28))
    lengths = [len(span) for span in spans]
    assert len(spans) == chunks
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ExportSettings(decoder_chunks=3), "--decoder-packages 3 is more than the model's 2 layers"),
        (ExportSettings(max_context=300), "multiple of 32"),
    ],
)
def test_settings_that_core_ml_cannot_take(settings: ExportSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        COREML.check(settings, PLAN)


def test_executorch_takes_no_chunks() -> None:
    with pytest.raises(UsageError, match="--target coreml"):
        EXECUTORCH.check(ExportSettings(decoder_chunks=2), PLAN)


def test_no_chunks_are_no_setting() -> None:
    with pytest.raises(UsageError, match="--decoder-packages 0"):
        ExportSettings(decoder_chunks=0)


@pytest.mark.parametrize(("chunk", "counts"), [(256, (1, 64, 256)), (8, (1, 2, 8)), (4, (1, 4)), (1, (1,))])
def test_functions_of_a_prefill_chunk(chunk: int, counts: tuple[int, ...]) -> None:
    assert token_counts(chunk) == counts


def test_without_coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[export,coreml\]'"):
        COREML.check(ExportSettings(), PLAN)


def test_the_command_line_refuses_chunks_without_core_ml(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["export", "tiny", "-o", str(tmp_path / "out"), "--decoder-packages", "2"]
    )
    assert isinstance(result.exception, UsageError)
    assert "--target coreml" in str(result.exception)


def test_two_targets_go_into_folders_of_their_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "small", ModelGeometry(ONE_LAYER.vision, SMALL_GEOMETRY.text))
    output = tmp_path / "out"
    arguments = ["export", tmp_path / "small", "-o", output, "--recipe", "fp16", "--buckets", "16"]
    sizes = ["--max-context", "64", "--prefill-chunk", "8", "--decoder-packages", "2"]
    targets = ["--target", "coreml", "--target", "onnx", "--target", "coreml"]
    result = CliRunner().invoke(app, [*map(str, arguments), *sizes, *targets], catch_exceptions=False)
    assert result.exit_code == 0
    assert sorted(path.name for path in output.iterdir()) == ["coreml", "onnx"]
    for target in ("coreml", "onnx"):
        assert open_bundle(output / target, verify="always").manifest.target == target
    assert (output / "coreml" / "text_decoder_1.mlpackage").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small"]


def test_an_existing_bundle_of_the_second_target_is_refused_before_any_work(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "small")
    (tmp_path / "out" / "executorch").mkdir(parents=True)
    (tmp_path / "out" / "executorch" / "diary.txt").write_text("mine")
    arguments = ["export", str(tmp_path / "small"), "-o", str(tmp_path / "out"), "--recipe", "fp32"]
    result = CliRunner().invoke(app, [*arguments, "--target", "coreml", "--target", "executorch"])
    assert isinstance(result.exception, ExportError)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["executorch"]
