"""`pocketvl export --dry-run`: everything checked and told, nothing done."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import run

SHAPES = ("--buckets", "64", "--max-context", "320", "--prefill-chunk", "32")


def test_it_tells_sizes_memory_and_time_and_writes_nothing(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ("--target", "onnx", "--target", "coreml")
    status, out, _ = run(
        capsys, "export", small_checkpoint, "-o", tmp_path / "out", *SHAPES, *targets, "--dry-run", "--json"
    )
    assert status == 0
    onnx, coreml = json.loads(out)
    assert (onnx["target"], coreml["target"]) == ("onnx", "coreml")
    assert onnx["output"] == str(tmp_path / "out" / "onnx")
    assert {"vision_encoder", "text_decoder", "lm_head"} <= onnx["components"].keys()
    assert sum(onnx["components"].values()) < onnx["disk_bytes"] < onnx["disk_free_bytes"]
    assert onnx["memory_bytes"] > 0
    for each in (onnx, coreml):
        seconds = each["seconds"]
        assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
        assert min(seconds["vision"], seconds["text"]) > 0
    assert coreml["seconds"]["calibration"] == 0  # the first has calibrated for both
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_would_be_calibrated(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", small_checkpoint, "-o", tmp_path / "out", *SHAPES, "--dry-run")
    status, out, _ = run(capsys, *words, "--recipe", "int4-gptq", "--calibration", "generated")
    assert status == 0
    assert "14 layers over 128 of generated" in out  # seven in each of the decoder's two
    assert "time, calibrating" in out
    status, out, _ = run(capsys, *words, "--recipe", "int8", "--json")
    (facts,) = json.loads(out)
    assert (facts["calibration"], facts["method"]) == (None, "rtn")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--json",), 2, "--json prints what --dry-run finds out"),
        (("--dry-run", "--size-budget", "1MB"), 2, "--dry-run knows nothing of bits"),
        (("--dry-run", "--calibration", "nowhere", "--recipe", "int4-gptq"), 1, "nowhere"),
    ],
)
def test_what_it_refuses(
    options: tuple[str, ...],
    status: int,
    said: str,
    small_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left, _, err = run(capsys, "export", small_checkpoint, "-o", tmp_path / "out", *SHAPES, *options)
    assert left == status
    assert said in err


def test_a_destination_that_is_taken_is_refused_as_by_an_export(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    status, _, err = run(capsys, "export", small_checkpoint, "-o", tmp_path, *SHAPES, "--dry-run")
    assert status == 1
    assert "letter.txt" in err
