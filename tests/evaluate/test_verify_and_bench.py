"""verify and bench on real bundles: what passes, what fails, what is printed."""

import json
from pathlib import Path

import pytest

from pocketvl.cli.main import main
from pocketvl.runtime import names
from tests.support.bundles import export_for_test
from tests.support.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    write_checkpoint(folder / "checkpoint")
    export_for_test(folder / "checkpoint", folder / "fp32")
    export_for_test(folder / "checkpoint", folder / "int8", "int8")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


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
    assert "geometries differ" in " ".join(err.split())


def test_bench_measures_every_stage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bench", folder / "int8", "--json", "--repeats", 1, "--decode-tokens", 4, "--threads", 1)
    status, out, err = run(capsys, *arguments)
    assert status == 0, err
    result = json.loads(out)
    assert [vision["patches"] for vision in result["vision"]] == [16, 64, 144]
    assert min(result["prefill_rate"], result["decode_rate"], result["bandwidth"]) > 0
    assert result["peak_rss"] > 50e6
    beside = {names.MANIFEST_FILE, names.MODEL_CARD}
    files = sum(path.stat().st_size for path in (folder / "int8").iterdir() if path.name not in beside)
    assert result["bundle_bytes"] == files
