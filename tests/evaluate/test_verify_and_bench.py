"""verify and bench on real bundles: what passes, what fails, what is printed."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pocketvl.evaluate.parity_table import parity_table
from pocketvl.evaluate.verify import Check, TaskScore
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from tests.support.bundles import export_for_test
from tests.support.checkpoints import write_checkpoint
from tests.support.command_line import run


@pytest.fixture(scope="module")
def folder(small_checkpoint: Path, small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    shutil.copytree(small_checkpoint, folder / "checkpoint")
    shutil.copytree(small_bundle.folder, folder / "fp32")
    export_for_test(folder / "checkpoint", folder / "int8", "int8", target=names.ONNX)
    return folder


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_a_bundle_agrees_with_its_checkpoint(
    recipe: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(
        capsys, "verify", folder / recipe, "--against", folder / "checkpoint", "--json", "--max-tokens", 6
    )
    report = json.loads(out)
    assert (status, report["passed"]) == (0, True), err
    judged = [check for check in report["checks"] if check["limit"] is not None]
    assert {check["component"] for check in judged} >= {"vision_encoder", "text_decoder"}
    if recipe == "fp32":
        same = [check["value"] for check in judged if check["metric"] == "same tokens"]
        assert same == [1.0] * 5


def test_a_revision_is_of_the_hub_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--against", folder / "checkpoint", "--revision", "v1")
    status, _, err = run(capsys, "verify", folder / "fp32", *words)
    assert (status, "--revision v1 chooses a commit, tag or branch" in err) == (2, True), err


def test_other_weights_are_found_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(folder / "other", seed=1)
    status, out, err = run(
        capsys, "verify", folder / "fp32", "--against", folder / "other", "--max-tokens", 4
    )
    assert status == 1
    assert "FAILED" in out
    assert "checks failed" in err


def test_another_geometry_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(folder / "untied", tied=False)
    status, _, err = run(capsys, "verify", folder / "fp32", "--against", folder / "untied")
    assert status == 1
    assert "geometries differ" in err


def test_the_result_goes_into_the_model_card(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(folder / "int8", tmp_path / "int8")
    status, out, err = run(
        capsys, "verify", bundle, "--against", folder / "checkpoint", "--max-tokens", 2, "--update-card"
    )
    assert status == 0, err
    assert re.fullmatch(r"passed: all \d+ limits kept", out.splitlines()[-1])
    card = (bundle / names.MODEL_CARD).read_text()
    assert "Against checkpoint through transformers" in card
    assert "| vision_encoder | relative error |" in card
    open_bundle(bundle, verify="always")


def test_a_bundle_without_a_card_is_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(folder / "int8", tmp_path / "int8")
    (bundle / names.MODEL_CARD).unlink()
    status, out, err = run(capsys, "verify", bundle, "--against", folder / "checkpoint", "--update-card")
    assert (status, out) == (1, "")
    assert "README.md does not exist" in err


def test_the_table_shows_the_worst_of_each_metric() -> None:
    checks = [
        Check("vision_encoder", "a", "relative error", 0.02, 0.1),
        Check("vision_encoder", "b", "relative error", 0.2, 0.1),
        Check("vision_encoder", "a", "PSNR dB", 40.0, None, at_least=True),
        Check("vision_encoder", "b", "PSNR dB", 30.0, None, at_least=True),
        Check("answers", "a", "same tokens", 1.0, 1.0, at_least=True),
    ]
    table = parity_table(checks, [TaskScore("read", 20, 0.95, 1.0)], "tiny").splitlines()
    assert "| vision_encoder | relative error | 2 | 0.2 | <= 0.1 | missed |" in table
    assert "| vision_encoder | PSNR dB | 2 | 30 |  |  |" in table
    assert "| answers | same tokens | 1 | 1 | >= 1 | ok |" in table
    assert "| read | 20 | 95.0% | 100.0% |" in table


def test_bench_measures_every_stage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bench", folder / "int8", "--json", "--repeats", 1, "--decode-tokens", 4, "--threads", 1)
    status, out, err = run(capsys, *arguments)
    assert status == 0, err
    result = json.loads(out)
    assert [vision["patches"] for vision in result["vision"]] == [16, 64, 144]
    assert min(result["prefill_rate"], result["decode_rate"], result["bandwidth"]) > 0
    assert result["peak_rss"] > 50e6
    needed = [record.path for record in open_bundle(folder / "int8").manifest.files]
    assert result["bundle_bytes"] == sum((folder / "int8" / path).stat().st_size for path in needed)


def test_a_quick_bench_says_each_step_and_sees_two_sizes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "bench", folder / "int8", "--quick", "--json", "--threads", 1)
    assert status == 0, err
    result = json.loads(out)
    assert [vision["patches"] for vision in result["vision"]] == [16, 144]
    assert min(result["prefill_rate"], result["decode_rate"], result["peak_rss"]) > 0
    steps = re.findall(r"\[\d+:\d\d\] bench \S+: (\S+)", err)
    assert steps == [
        "opening",
        "question",
        "16-patch",
        "144-patch",
        "bandwidth",
        "loading",
        "prefill",
        "decode,",
        "bandwidth",
    ]
