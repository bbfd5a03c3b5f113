"""What the benchmarks beside other engines print."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.turns import bytes_per_weight, run, table, take_turns
from pocketvl.runtime.bundle.open import Bundle

ROUNDS = [
    {
        "ours": {"prefill": 200.0, "decode": 30.0, "bytes_per_weight": 0.5625},
        "peer": {"prefill": 100, "decode": 30},
    },
    {
        "ours": {"prefill": 300.0, "decode": 20.0, "bytes_per_weight": 0.5625},
        "peer": {"prefill": 100, "decode": 40},
    },
    {
        "ours": {"prefill": 100.0, "decode": 40.0, "bytes_per_weight": 0.5625},
        "peer": {"prefill": 100, "decode": 10},
    },
]


def test_rates_are_medians_and_shares_are_of_the_same_round() -> None:
    *_, ours, peer = table(ROUNDS, "peer", "theirs").splitlines()
    assert ours == (
        "| ours | 0.562 | 200.0 (100.0 .. 300.0) | 2.00 (1.00 .. 3.00)"
        " | 30.0 (20.0 .. 40.0) | 1.00 (0.50 .. 4.00) |"
    )
    assert peer.startswith("| peer |  | 100.0 (100.0 .. 100.0) | 1.00 (1.00 .. 1.00)")


def test_each_round_runs_every_command_and_shows_it(capfd: pytest.CaptureFixture[str]) -> None:
    commands = {
        name: [sys.executable, "-c", f"print('loading'); print('{{\"decode\": {rate}}}')"]
        for name, rate in (("one", 1), ("two", 2))
    }
    rounds = take_turns(commands, 2)
    assert rounds == [{"one": {"decode": 1}, "two": {"decode": 2}}] * 2
    assert [json.loads(line) for line in capfd.readouterr().err.splitlines()] == rounds


def test_a_bundle_is_timed_in_a_process(small_onnx_bundle: Bundle) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "turns.py"
    rates = run([sys.executable, str(script), str(small_onnx_bundle.folder), "--threads", "1"])
    assert min(rates["prefill"], rates["decode"]) > 0
    assert rates["bytes_per_weight"] == bytes_per_weight(small_onnx_bundle) == 4.0  # float32
