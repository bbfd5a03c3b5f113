"""`pocketvl evaluate` as a user calls it."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.errors import EngineError
from tests.support.bundles import export_for_test
from tests.support.command_line import run
from tests.support.signals import command


@pytest.fixture(scope="module")
def folder(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copytree(small_checkpoint, folder / "checkpoint")
    export_for_test(folder / "checkpoint", folder / "bundle", "int8", target=names.ONNX)  # the quickest
    return folder


def test_a_table_a_dataset_and_a_file_of_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "mine.jsonl"
    data.write_text('{"question": "a", "answer": "b"}\n{"question": "' + "a " * 400 + '", "answer": "b"}\n')
    arguments = (
        folder / "bundle",
        "--data",
        "generated:1",
        "--data",
        data,
        "--max-tokens",
        3,
        "--threads",
        1,
    )
    status, out, err = run(capsys, "evaluate", *arguments)
    assert status == 0, err
    assert "generated: score" in out
    assert "mine: score" in out
    assert "not asked" in out
    lines = (tmp_path / "bundle-results" / "generated.jsonl").read_text().splitlines()
    assert len(lines) == 7
    before = (tmp_path / "bundle-results" / "mine.jsonl").read_bytes()
    assert run(capsys, "evaluate", *arguments)[0] == 0
    assert (tmp_path / "bundle-results" / "mine.jsonl").read_bytes() == before


def test_against_the_checkpoint_as_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(
        capsys,
        "evaluate",
        folder / "bundle",
        *("--data", "generated:1", "--limit", 2, "--max-tokens", 3, "--threads", 1, "--json"),
        *("--against", folder / "checkpoint", "-o", tmp_path / "out"),
        *("--reference-folder", tmp_path / "reference"),
    )
    assert status == 0, err
    assert "other weights" not in err
    (report,) = json.loads(out)["datasets"]
    assert report["tasks"][-1]["comparison"]["difference"]["count"] == 2
    assert report["fidelity"]["questions"] == 2
    assert 0 < report["fidelity"]["kl_mean"] < 0.1
    assert len(list((tmp_path / "reference").glob("*.npz"))) == 2
    status, out, err = run(
        capsys,
        "evaluate",
        folder / "bundle",
        *("--data", "generated:1", "--limit", 2, "--max-tokens", 3, "--threads", 1),
        *("--against", folder / "checkpoint", "-o", tmp_path / "out"),
        *("--reference-folder", tmp_path / "reference"),
    )
    assert status == 0, err
    assert "along the answers of" in " ".join(out.split())


def test_another_run_needs_overwrite(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (folder / "bundle", "--data", "generated/count:1", "-o", tmp_path, "--threads", 1)
    assert run(capsys, "evaluate", *arguments, "--max-tokens", 2)[0] == 0
    status, _, err = run(capsys, "evaluate", *arguments, "--max-tokens", 3)
    assert status == 2
    assert "--overwrite" in err
    status, _, err = run(
        capsys, "evaluate", *arguments, "--max-tokens", 3, "--overwrite", "--against", tmp_path / "no"
    )
    assert status == 1
    assert (tmp_path / "generated-count.jsonl").is_file()  # nothing is thrown away before all is well
    assert run(capsys, "evaluate", *arguments, "--max-tokens", 3, "--overwrite")[0] == 0
    status, _, err = run(capsys, "evaluate", *arguments, "--max-tokens", 3, "--min-pixels", 6000)
    assert status == 2
    assert "min_pixels 3136, now 6000" in err


def test_a_run_that_was_stopped_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pocketvl.evaluate import answers

    asked = []

    def fail_at_the_third(*arguments: object) -> object:
        asked.append(arguments)
        if len(asked) == 3:
            raise EngineError("stopped.")
        return original(*arguments)  # type: ignore[arg-type]

    original = answers.ask
    monkeypatch.setattr(answers, "ask", fail_at_the_third)
    options = ("--data", "generated:1", "-o", tmp_path, "--threads", 1, "--max-tokens", 2)
    assert run(capsys, "evaluate", folder / "bundle", *options)[0] == 1
    assert len((tmp_path / "generated.jsonl").read_text().splitlines()) == 3
    assert run(capsys, "evaluate", folder / "bundle", *options)[0] == 0
    assert len((tmp_path / "generated.jsonl").read_text().splitlines()) == 7
    assert len(asked) == 7  # the third twice


def test_a_signal_ends_it_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "generated.jsonl"
    words = ("evaluate", folder / "bundle", "--data", "generated:200", "-o", tmp_path / "out")
    with command(tmp_path / "temporary", *words, "--max-tokens", 4, "--threads", 1) as run:
        run.wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") > 3)
        status, _, said = run.end(signal.SIGTERM)
        assert status == 128 + signal.SIGTERM
        assert said.splitlines()[-1].startswith("Stopped by SIGTERM")  # after lines of progress, one sentence
        assert "error" not in said
    kept = file.read_bytes()
    with command(tmp_path / "temporary", *words, "--max-tokens", 4, "--threads", 1) as run:
        run.wait_for(lambda: len(file.read_bytes()) > len(kept) + 1)
        assert run.end(signal.SIGINT)[0] == 128 + signal.SIGINT
    whole = kept[: kept.rfind(b"\n") + 1]
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize("odd", ["another run", "a folder", "no folder", "inside a bundle"])
def test_the_output_is_checked_before_the_reference_is_asked(
    odd: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, file = tmp_path / "out", tmp_path / "out" / "generated.jsonl"
    if odd == "another run":
        output.mkdir()
        file.write_text('{"another": "run"}\n')
    elif odd == "a folder":
        file.mkdir(parents=True)
    elif odd == "no folder":
        output.write_text("a file")
    else:
        output = folder / "bundle" / "results"
    status, _, err = run(
        capsys,
        *("evaluate", folder / "bundle", "--data", "generated:1", "--threads", 1, "-o", output),
        *("--against", folder / "checkpoint", "--reference-folder", tmp_path / "reference"),
    )
    assert (status, "unexpected" in err) == (2 if odd in ("another run", "a folder") else 1, False), err
    assert str(output) in err
    assert not (tmp_path / "reference").exists()


def test_the_reference_is_kept_with_the_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The working folder gets nothing but the folder for the answers."""
    monkeypatch.chdir(tmp_path)
    options = ("--data", "generated/count:1", "--threads", 1, "--max-tokens", 2)
    status, _, err = run(capsys, "evaluate", folder / "bundle", *options, "--against", folder / "checkpoint")
    assert status == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["bundle-results"]
    assert len(list((tmp_path / "bundle-results" / "reference").glob("*.npz"))) == 1


def test_rows_that_cannot_be_used_are_told_and_not_scored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no image")
    rows = [
        {"question": "Is it?", "answer": "yes"},
        {"question": "Is it?"},
        {"image": "damaged.png", "question": "Is it?", "answer": "no"},
    ]
    data = tmp_path / "pope.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (folder / "bundle", "--data", data, "-o", tmp_path / "out", "--threads", 1, "--max-tokens", 2)
    status, out, err = run(capsys, "evaluate", *arguments)
    assert status == 0, err
    assert "unparsed" in out
    assert "pope: 2 of 3 rows left out; the scores are over 1." in err
    assert "line 2, answer: is missing" in err
    assert "line 3, the image of question 3" in err
    (report,) = json.loads(run(capsys, "evaluate", *arguments, "--json")[1])["datasets"]
    assert (report["scored"], len(report["bad_rows"])) == (1, 2)
    assert (report["tasks"][0]["score"]["count"], report["tasks"][0]["unparsed"]) == (1, 1)
    status, _, err = run(capsys, "evaluate", *arguments, "--strict")
    assert (status, "line 2, answer: is missing" in err) == (2, True)


def test_images_that_are_not_read_by_the_letter_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("I;16", (60, 40), 4000).save(tmp_path / "twelve bits.png")
    rows = [{"image": "twelve bits.png", "question": "Is it?", "answer": "no"}] * 2
    data = tmp_path / "scans.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (folder / "bundle", "--data", data, "-o", tmp_path / "out", "--threads", 1, "--max-tokens", 2)
    status, _, err = run(capsys, "evaluate", *arguments)
    assert status == 0, err
    said = " ".join(err.split())
    assert "scans: 2 images were not read by the letter:" in said
    assert "line 1, the image of question 1" in said
    assert "has samples of 16 bits that use only 12 of them" in said
    status, out, _ = run(capsys, "evaluate", *arguments, "--json")  # of the answers that are there already
    (report,) = json.loads(out)["datasets"]
    assert len(report["notes"]) == 2


BAD = {
    "no data": (["{bundle}"], 2, "--data"),
    "missing file": (["{bundle}", "--data", "none.tsv"], 2, "none.tsv does not exist"),
    "metric": (["{bundle}", "--data", "generated:1", "--metric", "bleu"], 2, "bleu"),
    "prompt": (["{bundle}", "--data", "generated:1", "--prompt", "Hi"], 2, "leaves the question out"),
    "twice": (["{bundle}", "--data", "generated:1", "--data", "generated:2"], 2, "Two datasets"),
    "pixels": (["{bundle}", "--data", "generated:1", "--max-pixels", "5"], 2, "min_pixels"),
    "no bundle": (["nowhere", "--data", "generated:1"], 1, "does not exist"),
    "revision of nothing": (["{bundle}", "--data", "generated:1", "--revision", "v1"], 2, "--against"),
    "revision of a bundle": (
        ["{bundle}", "--data", "generated:1", "--against", "{bundle}", "--revision", "v1"],
        2,
        "is a bundle",
    ),
    "revision of a folder": (
        ["{bundle}", "--data", "generated:1", "--against", "tiny", "--revision", "v1"],
        2,
        "--revision v1 chooses a commit, tag or branch on the hub",
    ),
    "no reference": (["{bundle}", "--data", "generated:1", "--against", "./nowhere"], 1, "nowhere"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_usage_is_a_sentence(
    case: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words, expected, message = BAD[case]
    status, _, err = run(capsys, "evaluate", *(word.format(bundle=folder / "bundle") for word in words))
    assert (status, message in err) == (expected, True), err
    assert list(tmp_path.iterdir()) == []
