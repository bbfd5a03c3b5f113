"""Comparing answers of two processors, as tools/emulated does it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvl.export.tiny import TASKS
from tests.support.bundles import export_for_test
from tools.emulated.__main__ import acceptable, row
from tools.emulated.answers import Answer, Answers, answer, read, write
from tools.emulated.arm import cpuinfo
from tools.emulated.compare import TIE, compare

LOGITS = np.array([[0, 3, 1, 0], [0, 1, 2, 2 - TIE / 2], [5, 0, 0, 0]], np.float32)
FIRST = Answer("drawn", (7, 8), (1, 2, 0), 1.0, np.ones((2, 4), np.float32), LOGITS)


def answers(*each: Answer) -> Answers:
    return Answers("engine 1.0", each)


def test_equal_answers_are_accepted() -> None:
    found = compare(answers(FIRST, FIRST), answers(FIRST, FIRST))
    assert (found.questions, found.inputs, found.equal, found.difference) == (2, 2, 2, 0)
    assert acceptable(found, "onnx-fp32")


def test_an_answer_that_parts_at_a_tie_is_accepted_and_shown() -> None:
    found = compare(answers(FIRST, replace(FIRST, ids=(1, 3, 0), score=0.0)), answers(FIRST, FIRST))
    assert found.equal == found.ties == 1
    assert found.margins == pytest.approx([TIE / 2], rel=1e-3)
    assert acceptable(found, "onnx-fp32")
    assert "1 of 2 (margins 0.0005), score 1.000 -> 0.500" in row("max", "onnx-fp32", found)


def test_another_answer_is_not_accepted_of_float32() -> None:
    found = compare(answers(replace(FIRST, ids=(2, 2, 0))), answers(FIRST))
    assert found.margins == (2.0,)
    assert not acceptable(found, "onnx-fp32")
    assert acceptable(found, "onnx-int4")


def test_other_logits_are_not_accepted_of_float32() -> None:
    found = compare(answers(replace(FIRST, logits=LOGITS + np.float32(2 * TIE))), answers(FIRST))
    assert found.equal == 1
    assert not acceptable(found, "executorch-fp32")


@pytest.mark.parametrize("change", [{"drawn": "otherwise"}, {"prompt": (7, 9)}])
def test_other_inputs_are_never_accepted(change: dict[str, object]) -> None:
    found = compare(answers(replace(FIRST, **change)), answers(FIRST))  # type: ignore[arg-type]
    assert found.inputs == 0
    assert not acceptable(found, "onnx-int4")


def test_missing_questions_are_an_error() -> None:
    with pytest.raises(ValueError, match="longer"):
        compare(answers(FIRST), answers(FIRST, FIRST))


def test_logits_are_those_that_the_answer_was_chosen_from(tmp_path: Path) -> None:
    bundle = export_for_test("tiny", tmp_path / "bundle", target="onnx")
    first = answer(bundle, len(TASKS), None)
    assert [tuple(one.logits.argmax(axis=1)) for one in first.answers] == [one.ids for one in first.answers]
    assert sum(one.score for one in first.answers) > 0.9 * len(TASKS)
    write(tmp_path / "one.npz", first)
    kept = read(tmp_path / "one.npz")
    found = compare(answer(bundle, len(TASKS), kept), kept)
    assert (found.equal, found.inputs, found.difference) == (len(TASKS), len(TASKS), 0)


def test_cpuinfo_is_as_linux_writes_it() -> None:
    lines = cpuinfo("cortex-a76,aes=off", ["fp", "asimd", "asimddp"], 2).splitlines()
    assert lines[:3] == ["processor\t: 0", "BogoMIPS\t: 100.00", "Features\t: fp asimd asimddp"]
    assert [line for line in lines if "part" in line] == ["CPU part\t: 0xd0b"] * 2
    assert lines.count("") == 2
