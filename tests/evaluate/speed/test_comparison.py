"""Bundles timed by turns: what counts as faster, and what is printed."""

import json
from pathlib import Path

import pytest

from pocketvl.evaluate.speed.comparison import compare_speed, compare_stage
from pocketvl.evaluate.speed.stages import quick_buckets
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import UsageError
from tests.support.command_line import run


def test_a_bundle_is_faster_that_was_so_in_every_round() -> None:
    stage = compare_stage("decode", [[10.0, 20.0, 10.0], [15.0, 24.0, 16.0]])
    assert stage.rates == (10.0, 16.0)
    assert stage.shares == ((1.0, 1.0, 1.0), (1.5, 1.2, 1.6))  # median, least, most
    assert stage.fastest == 1


def test_rounds_that_disagree_name_none() -> None:
    assert compare_stage("decode", [[10.0, 20.0], [9.9, 40.0]]).fastest is None
    assert compare_stage("decode", [[10.0, 20.0], [10.0, 20.0]]).fastest is None


def test_two_targets_are_timed_by_turns(small_bundle: Bundle, small_onnx_bundle: Bundle) -> None:
    steps: list[str] = []
    shares: list[float] = []

    def progress(step: str, share: float) -> None:
        steps.append(step)
        shares.append(share)

    folders = [small_bundle.folder, small_onnx_bundle.folder]
    result = compare_speed(folders, threads=1, decode_tokens=2, rounds=2, progress=progress)
    assert [each.target for each in result.bundles] == ["executorch", "onnx"]
    assert [len(each.turns) for each in result.bundles] == [2, 2]
    assert [stage.stage for stage in result.stages] == ["vision", "prefill", "decode"]
    rates = {stage.stage: stage.rates for stage in result.stages}
    assert min(min(each) for each in rates.values()) > 0
    loading = [step for step in steps if step.startswith("loading the decoder")]
    names = [folder.name for folder in folders]
    assert loading == [f"loading the decoder (round {n} of 2, {name})" for n in (1, 2) for name in names]
    assert shares == sorted(shares)
    assert quick_buckets(small_bundle.manifest)[-1] == result.vision_patches[0]


def test_the_command_compares_where_it_gets_two(
    small_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("bench", small_bundle.folder, small_bundle.folder, "--quick", "--decode-tokens", 2)
    status, out, err = run(capsys, *arguments, "--threads", 1)
    assert status == 0, err
    assert "by turns, 2 rounds, 1 threads" in out
    for stage in ("vision", "prefill", "decode"):
        assert f"\n{stage}: " in out
    status, out, err = run(capsys, *arguments, "--threads", 1, "--json")
    assert status == 0, err
    assert json.loads(out)["rounds"] == 2


def test_one_round_compares_nothing(small_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 bundles in 1 rounds cannot be compared"):
        compare_speed([small_bundle.folder] * 2, rounds=1)
    with pytest.raises(UsageError, match="1 bundles in 3 rounds"):
        compare_speed([small_bundle.folder])
