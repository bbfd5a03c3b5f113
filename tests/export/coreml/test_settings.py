"""What Core ML takes and refuses, known before any work."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pocketvl.cli.main import app
from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.exporters import coreml_exporters
from pocketvl.export.coreml.text import chunk_spans, token_counts
from pocketvl.export.pipeline import Exporters
from pocketvl.runtime.errors import MissingExtraError, UsageError
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import FULL_TEXT


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
        (ExportSettings(decoder_chunks=3), "--chunks 3 is more than the model's 2 layers"),
        (ExportSettings(max_context=300), "multiple of 32"),
    ],
)
def test_settings_that_core_ml_cannot_take(settings: ExportSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        coreml_exporters().check(settings, SMALL_GEOMETRY)


def test_executorch_takes_no_chunks() -> None:
    with pytest.raises(UsageError, match="--target coreml"):
        Exporters().check(ExportSettings(decoder_chunks=2), SMALL_GEOMETRY)


def test_no_chunks_are_no_setting() -> None:
    with pytest.raises(UsageError, match="--chunks 0"):
        ExportSettings(decoder_chunks=0)


@pytest.mark.parametrize(("chunk", "counts"), [(256, (1, 64, 256)), (8, (1, 2, 8)), (4, (1, 4)), (1, (1,))])
def test_functions_of_a_prefill_chunk(chunk: int, counts: tuple[int, ...]) -> None:
    assert token_counts(chunk) == counts


def test_without_coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[export,coreml\]'"):
        coreml_exporters().check(ExportSettings(), SMALL_GEOMETRY)


def test_the_command_line_refuses_chunks_without_core_ml(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", "tiny", "-o", str(tmp_path / "out"), "--chunks", "2"])
    assert isinstance(result.exception, UsageError)
    assert "--target coreml" in str(result.exception)
