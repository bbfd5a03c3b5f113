"""The measurements of prompt lookup run on any bundle, and their scripted answers quote as they say."""

import re
import sys

import pytest

from benchmarks.lookup import main
from pocketvl.runtime.bundle.open import Bundle


def measured(
    what: str, bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    words = [
        what,
        str(bundle.folder),
        "--threads",
        "1",
        "--rounds",
        "1",
        "--tokens",
        "48",
        "--processor-time",
    ]
    monkeypatch.setattr(sys, "argv", ["lookup.py", *words, "--share", "0", "--share", "1"])
    main()
    return capsys.readouterr().out


def test_costs_of_all_sizes_relative_to_one_token(
    small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = measured("cost", small_onnx_bundle, capsys, monkeypatch)
    assert re.findall(r"^\| (\d+) \|", out, re.MULTILINE) == [*"12345678", "12", "16"]
    assert "| 1.00 |" in out


def test_in_float32_no_token_is_another_one(
    small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = measured("agreement", small_onnx_bundle, capsys, monkeypatch)
    assert re.findall(r"^\| (\d+) \| (\d+) of 48", out, re.MULTILINE) == [
        (n, "0") for n in ("2", "4", "8", "16")
    ]


def test_speed_is_told_for_each_share_of_quotes(
    small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = measured("speed", small_onnx_bundle, capsys, monkeypatch)
    (quotes, right, drafted), (others, *_) = re.findall(r"(\d+)% of .* (\d+) of (\d+) drafts", out)
    assert (quotes, others) == ("0", "100")
    assert int(right) <= int(drafted)  # which depends on what passes take
