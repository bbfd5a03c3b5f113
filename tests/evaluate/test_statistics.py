"""Standard errors against hand-worked values and against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.statistics import clustered_mean, estimate, paired_difference
from pocketvl.runtime.errors import UsageError


def test_right_or_wrong_has_the_binomial_error() -> None:
    value = estimate([1, 1, 1, 0])
    assert (value.mean, value.count) == (0.75, 4)
    assert value.error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_other_scores_have_that_of_a_sample() -> None:
    value = estimate([0.2, 0.4, 0.9])
    # deviations -0.3, -0.1, 0.4: variance 0.26 / 2
    assert value.error == pytest.approx(math.sqrt(0.13 / 3))
    assert estimate([0.5]).error is None


def test_paired_differences_cancel_what_both_find_hard() -> None:
    theirs = {"a": 0.0, "b": 1.0, "c": 1.0, "d": 0.0}
    ours = {"d": 0.0, "c": 0.0, "b": 1.0, "a": 0.0}
    value = paired_difference(ours, theirs)
    # differences 0, 0, -1, 0: mean -1/4, variance 3/4 / 3
    assert value.mean == -0.25
    assert value.error == pytest.approx(0.25)
    assert paired_difference(ours, ours).error == 0


def test_other_questions_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="'b'"):
        paired_difference({"a": 1.0}, {"a": 1.0, "b": 0.0})


def test_clustered_mean_by_hand() -> None:
    value = clustered_mean([[1.0, 3.0], [2.0]])
    # m = 2, sums 4 and 2 of 2 and 1 values: no group differs from the mean
    assert (value.mean, value.error, value.count) == (2.0, 0.0, 3)
    value = clustered_mean([[0.0], [1.0]])
    assert value.error == pytest.approx(math.sqrt(2 * 0.5) / 2)


def test_clustered_error_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(0)

    def draw() -> list[list[float]]:
        return [list(rng.normal(rng.normal(), 0.1, rng.integers(1, 9))) for _ in range(40)]

    spread = float(np.std([clustered_mean(draw()).mean for _ in range(400)]))
    stated = float(np.mean([clustered_mean(draw()).error for _ in range(100)]))
    assert stated == pytest.approx(spread, rel=0.15)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_groups_of_one_are_a_plain_sample(values: list[float]) -> None:
    value = clustered_mean([[v] for v in values])
    assert value.mean == pytest.approx(np.mean(values))
    if len(values) > 1:
        expected = np.std(values, ddof=1) / math.sqrt(len(values))
        assert value.error == pytest.approx(expected, abs=1e-9)
