"""`pocketvl sweep` as a user calls it."""

import csv
import io
from pathlib import Path

import pytest

from tests.support.checkpoints import write_checkpoint
from tests.support.command_line import run
from tests.support.geometries import ONE_LAYER

SHAPES = ("--buckets", "16,64,144", "--max-context", "320")
IMPOSSIBLE = 'name = "impossible"\nmethod = "rtn"\n[[rule]]\nlayers = "*"\nbits = 4\ngroup_size = 32\n'


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "checkpoint"
    write_checkpoint(folder, ONE_LAYER)
    (folder / "preprocessor_config.json").unlink()
    return folder


def test_a_sweep_with_a_recipe_that_cannot_be(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and a sentence for it; the report is written for the others all the same."""
    (tmp_path / "impossible.toml").write_text(IMPOSSIBLE)
    arguments = ("sweep", checkpoint, "-o", tmp_path / "out", "--data", "generated/count:2", *SHAPES)
    recipes = ("--reference", "int8", "--recipe", tmp_path / "impossible.toml")
    status, out, err = run(
        capsys, *arguments, *recipes, "--jobs", 1, "--max-tokens", 2, "--fidelity-questions", 0, "--no-bench"
    )
    assert status == 1
    assert "impossible, export: vision_encoder.patch_embed has 1176 inputs" in err
    assert err.count("There is no preprocessor_config.json") == 1  # said once, not by each export
    assert "report.html" in out
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text())))
    assert [(row["recipe"], row["count: questions"]) for row in rows] == [("int8", "2")]


def test_a_sweep_of_another_target(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same columns, answered and compared by that target's engine."""
    arguments = ("sweep", checkpoint, "-o", tmp_path / "out", "--data", "generated/count:2", *SHAPES)
    recipes = ("--reference", "fp32", "--recipe", "int8", "--target", "onnx", "--no-bench")
    status, _, err = run(
        capsys, *arguments, *recipes, "--jobs", 1, "--max-tokens", 2, "--fidelity-questions", 2
    )
    assert (status, "error" in err) == (0, False), err
    (row, other) = csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text()))
    assert [row["recipe"], other["recipe"]] == ["fp32", "int8"]
    assert list((tmp_path / "out").rglob("host_text_decoder.onnx"))


MISTAKES = {
    "recipe": (["--recipe", "int3", "--data", "generated:1"], 2, "'int3' is no recipe"),
    "reference": (["--recipe", "int8", "--reference", "best", "--data", "generated:1"], 2, "'best' is no"),
    "data": (["--recipe", "int8", "--data", "nowhere.tsv"], 2, "nowhere.tsv does not exist"),
    "revision": (
        ["--recipe", "int8", "--data", "generated:1", "--revision", "v1"],
        2,
        "--revision v1 chooses a commit, tag or branch on the hub",
    ),
    "no data": (["--recipe", "int8"], 2, "Missing option"),
    "buckets": (["--recipe", "int8", "--data", "generated:1", "--buckets", "4,three"], 2, "--buckets"),
    "target": (
        ["--recipe", "int8", "--data", "generated:1", "--target", "tflite"],
        2,
        "'tflite' is no target",
    ),
    "jobs and ray": (
        ["--recipe", "int8", "--data", "generated:1", "--jobs", "2", "--ray", "local"],
        2,
        "leave one of them out",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes_are_found_before_any_work(
    name: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, expected, sentence = MISTAKES[name]
    status, _, err = run(capsys, "sweep", checkpoint, "-o", tmp_path / "out", *words)
    assert status == expected
    assert sentence in err
    assert not (tmp_path / "out").exists()


def test_a_missing_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(
        capsys,
        *("sweep", tmp_path / "none", "-o", tmp_path / "out", "--recipe", "int8", "--data", "generated:1"),
    )
    assert status == 1
    assert "does not exist" in err
    assert not (tmp_path / "out").exists()
