"""Which recipe is recommended, and when none is: each sentence follows from the numbers."""

from dataclasses import replace

import pytest

from pocketvl.evaluate.statistics import Estimate, half_width
from pocketvl.evaluate.sweep.recommendation import FEWEST, recommendation
from pocketvl.evaluate.sweep.results import SweepResult
from tests.evaluate.sweep.results import sweep_result


def with_differences(int8: Estimate | None, int4: Estimate | None) -> SweepResult:
    """fp32 of 28 MB, int8 of 8 MB, int4 of 4 MB."""
    result = sweep_result()
    reference, *others = result.recipes
    changed = [replace(r, difference=d) for r, d in zip(others, (int8, int4), strict=True)]
    return replace(result, recipes=(reference, *changed))


ALIKE, WORSE = Estimate(-0.001, 0.002, 1000), Estimate(-0.05, 0.005, 1000)
CASES = {
    "both keep": (ALIKE, ALIKE, "Recommended: int4, 4.0 MB"),
    "one keeps": (ALIKE, WORSE, "Recommended: int8, 8.0 MB"),
    "both lose": (Estimate(-0.06, 0.005, 1000), WORSE, "No recommendation: every recipe loses more than 1"),
    "within error": (Estimate(-0.005, 0.01, 1000), WORSE, "No recommendation: differences are within error"),
    "few": (Estimate(0.0, 0.0, 50), Estimate(0.0, 0.0, 50), "No recommendation: 50 questions are too few"),
    "one question": (Estimate(0.0, None, 1), None, "No recommendation: 1 question is too few"),
    "one is missing": (None, ALIKE, "Recommended: int4"),
    "nothing": (None, None, "No recommendation: no recipe smaller than fp32"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_follows_from_the_differences(case: str) -> None:
    int8, int4, sentence = CASES[case]
    assert recommendation(with_differences(int8, int4)).startswith(sentence)


def test_the_sentence_says_how_sure_it_is() -> None:
    sentence = recommendation(with_differences(ALIKE, WORSE))
    assert "less than 1 percentage point against fp32 with 95 % confidence" in sentence
    assert sentence.endswith("(\u22120.5 .. +0.3 points over 1000 questions).")


def test_agreement_on_all_questions_needs_enough_of_them() -> None:
    """The rule of three: 0 changes in n leave room for 3 / n."""
    assert half_width(Estimate(0.0, 0.0, 300)) == pytest.approx(0.01)
    assert half_width(Estimate(0.0, 0.1, 300)) == pytest.approx(0.196)
    assert half_width(Estimate(0.0, None, 1)) == float("inf")
    agreed = Estimate(0.0, 0.0, FEWEST)
    assert recommendation(with_differences(agreed, agreed)).startswith("Recommended: int4")
    fewer = Estimate(0.0, 0.0, FEWEST - 1)
    assert f"ask at least {FEWEST}" in recommendation(with_differences(fewer, fewer))


def test_a_recipe_larger_than_the_reference_is_not_recommended() -> None:
    result = with_differences(ALIKE, WORSE)
    reference, int8, int4 = result.recipes
    larger = replace(int8, size=reference.size + 1)
    text = recommendation(replace(result, recipes=(reference, larger, int4)))
    assert text.startswith("No recommendation: every recipe loses")
