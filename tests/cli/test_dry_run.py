"""`pocketvl export --dry-run`: everything checked and told, nothing done."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

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
        assert not each["together"]  # so small a model is exported in one process
    assert coreml["seconds"]["calibration"] == 0  # the first has calibrated for both
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_would_be_calibrated(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", small_checkpoint, "-o", tmp_path / "out", *SHAPES, "--dry-run")
    status, out, _ = run(capsys, *words, "--recipe", "int4-gptq", "--calibration", "generated")
    assert status == 0
    assert "16 layers over 128 of generated" in out  # seven in each of the decoder's two, and the head's
    assert "time, calibrating" in out
    status, out, _ = run(capsys, *words, "--recipe", "int8", "--json")
    (facts,) = json.loads(out)
    assert (facts["calibration"], facts["method"]) == (None, "rotation + rtn")


def test_it_says_what_an_export_would_note(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the checkpoint, of the recipe, and of the calibration data."""
    checkpoint = Path(shutil.copytree(small_checkpoint, tmp_path / "checkpoint"))
    (checkpoint / "preprocessor_config.json").unlink()
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.new("I;16", (60, 40), 4000 - number).save(tmp_path / "images" / f"{number}.png")
    words = ("export", checkpoint, "-o", tmp_path / "out", *SHAPES, "--dry-run", "--target", "onnx")
    data = ("--calibration", tmp_path / "images", "--calibration-samples", 4)
    for targets in ((), ("--target", "coreml")):
        status, _, err = run(capsys, *words, *targets, "--recipe", "int4-gptq", *data)
        assert status == 0, err
        assert err.count("There is no preprocessor_config.json") == 1
        assert err.count("4 images of the calibration data were not read by the letter.") == 1
        assert "And 1 more." in err
    status, out, _ = run(capsys, *words, "--recipe", "int4-gptq", *data, "--json")
    assert len(json.loads(out)[0]["notes"]) == 2


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
