"""What a newcomer reads: statistics, summaries, the demo's table; nothing misleads and nothing is cut off."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from pocketvl.cli import demo, worker
from pocketvl.cli.answers import summary
from pocketvl.cli.export import _report
from pocketvl.cli.main import main
from pocketvl.export.tiny import TASKS, make_example
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer, Statistics
from tests.support.command_line import run

STATISTICS = Statistics(
    vision_seconds=0.5, images_encoded=1, prefill_seconds=2.0, prefill_tokens=40, time_to_first_token=2.5
)
ANSWER = Answer("a", (5,), (1, 2), 3, "stop", STATISTICS)


def test_a_single_token_has_no_rate() -> None:
    assert summary(ANSWER) == (
        "vision 0.50 s (1 encoded, 0 cached), prefill 40 tokens at 20/s, decode 1 token, first token after"
        " 2.50 s, stop"
    )
    timed = replace(STATISTICS, images_encoded=0, decode_seconds=0.5, decode_tokens=2)
    assert summary(replace(ANSWER, token_ids=(5, 6, 7), statistics=timed)) == (
        "prefill 40 tokens at 20/s, decode 3 tokens at 4.0/s, first token after 2.50 s, stop"
    )


def test_nothing_on_stderr_is_blank(small_onnx_bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ask", str(small_onnx_bundle.folder), "Hi", "--max-tokens", "2"])
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(line.strip() for line in lines)


def test_the_summary_of_an_export_counts_every_file(
    small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small_onnx_bundle.manifest
    _report(manifest, Path("out"))
    first, *lines = capsys.readouterr().out.splitlines()
    total, optional = (
        sum(record.size for record in records) for records in (manifest.files, manifest.optional_files)
    )
    assert first == (
        f"out: recipe fp32, {total / 1e6:.1f} MB,"
        f" and {optional / 1e6:.1f} MB that transformers.js alone reads"
    )
    listed = {line.split()[0] for line in lines}
    assert listed == {record.path for record in (*manifest.files, *manifest.optional_files)}
    assert sum(line.endswith("(optional)") for line in lines) == len(manifest.optional_files)


def test_the_demo_shows_boxes_whole_at_80_columns(
    small_onnx_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As if the model knew every answer."""

    def export(output: Path, *_: object) -> Path:
        return Path(shutil.copytree(small_onnx_bundle.folder, output / "bundle"))

    monkeypatch.setattr(demo, "_export", export)
    monkeypatch.setattr(demo, "_ask", lambda session, example: example.answer)
    monkeypatch.setattr(demo, "out", Console(width=80))
    status, out, err = run(capsys, "demo", "-o", tmp_path / "demo")
    assert status == 0, err
    assert max(map(len, out.partition("right; the images")[0].splitlines())) <= 80
    boxes = [make_example(task, i).answer for task in TASKS for i in range(2) if make_example(task, i).box]
    assert boxes
    for box in boxes:
        assert out.count(box) >= 2, box  # expected, and answered
    assert (tmp_path / "demo" / "contact-sheet.png").is_file()
    assert "12 of 12 right" in out
    assert f"pocketvl chat {tmp_path / 'demo' / 'bundle'}" in out


def test_the_shell_is_told_how_to_complete() -> None:
    """Named here; typer else looks for a shell among the processes above."""
    done = subprocess.run(
        [sys.executable, "-m", "pocketvl", "--show-completion", "bash"],
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o default -F _pocketvl_completion pocketvl" in done.stdout


def test_memory_that_ran_out_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that fail for the same reason at exit add nothing to the sentence."""
    told: list[object] = []
    monkeypatch.setattr(sys, "__unraisablehook__", told.append)
    failures = [SimpleNamespace(exc_type=kind) for kind in (MemoryError, OSError)]
    for failure in failures:
        worker.report_unraisable(failure)  # type: ignore[arg-type]
    assert told == failures[1:]
