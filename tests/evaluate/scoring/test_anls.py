"""ANLS and its edit distance against hand-worked values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.scoring.anls import anls
from pocketvl.evaluate.scoring.levenshtein import levenshtein

short = st.text(max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("straße", "strasse", 2)],
)
def test_distances(one: str, other: str, distance: int) -> None:
    assert levenshtein(one, other) == distance


@given(short, short, short)
def test_distance_is_a_metric(one: str, other: str, third: str) -> None:
    assert levenshtein(one, other) == levenshtein(other, one)
    assert (levenshtein(one, other) == 0) == (one == other)
    assert levenshtein(one, other) <= levenshtein(one, third) + levenshtein(third, other)
    assert abs(len(one) - len(other)) <= levenshtein(one, other) <= max(len(one), len(other))


@pytest.mark.parametrize(
    ("answers", "answer", "expected"),
    [
        (["Yes"], "yes", 1.0),
        (["1.1.90"], "1.1.91", 1 - 1 / 6),
        (["abcd"], "abxy", 0.5),  # the threshold itself counts
        (["abcde"], "abxyz", 0.0),  # 0.4 does not
        (["dog", "a cat"], "a bat", 1 - 1 / 5),  # the best of the right ones
        (["a b"], "a     b", 1.0),  # white space is collapsed
        (["a bcd"], "a     bce", 1 - 1 / 9),  # but the length is that of the text as it came
        (["university"], "", 0.0),
        (["ß"], "b", 0.5),  # length 2: in upper case it is SS
        (["Ångström"], "ångström", 1.0),
    ],
)
def test_anls(answers: list[str], answer: str, expected: float) -> None:
    assert anls(answers, answer) == pytest.approx(expected)


@given(st.lists(short, min_size=1, max_size=4), short)
def test_anls_is_0_or_at_least_a_half(answers: list[str], answer: str) -> None:
    value = anls(answers, answer)
    assert value == 0 or 0.5 <= value <= 1
    assert anls([*answers, answer], answer) == 1
