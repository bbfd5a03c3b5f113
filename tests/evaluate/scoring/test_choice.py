"""Which option an answer names, in all the ways that models say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.scoring.choice import choice_score, option_of

ANIMALS = ("dog", "cat", "hot dog", "a bird")


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("B", 1),
        ("b", 1),
        (" (b) ", 1),
        ("B.", 1),
        ("**C**", 2),
        ("[D]", 3),
        ("B. cat", 1),
        ("(B) cat", 1),
        ("The answer is B", 1),
        ("The correct answer is (B), because it meows.", 1),
        ("the answer is B because it meows", 1),
        ("Answer: A", 0),
        ("answer is option C", 2),
        ("Option C", 2),
        ("Cat.", 1),
        ("hot  dog", 2),
        ("It is a hot dog", 2),
        ("The answer is B. Vitamin D. helps", 1),
        ("I see a cat there", 1),
        # none, or not clear which
        ("", None),
        ("E", None),
        ("dog or cat", None),
        ("A. dog\nB. cat", None),
        ("The answer is B, no, the answer is C", None),
        ("the answer is a fish", None),
        ("catalogue", None),
        ("A fish", None),
    ],
)
def test_option_of(answer: str, option: int | None) -> None:
    assert option_of(answer, ANIMALS) == option


def test_a_letter_goes_before_an_option_that_is_a_letter() -> None:
    assert option_of("A", ("B", "A")) == 0


def test_the_article_is_no_letter() -> None:
    assert option_of("The answer is A bird", ("fish", "cow")) is None


def test_either_letter_or_text_may_be_the_right_answer() -> None:
    assert choice_score(ANIMALS, ["B"], "cat") == 1
    assert choice_score(ANIMALS, ["cat"], "B") == 1
    assert choice_score(ANIMALS, ["B"], "dog") == 0
    assert choice_score(ANIMALS, ["B"], "who knows") == 0


@given(st.integers(0, 25), st.integers(2, 26))
def test_every_letter_in_range_names_its_option(letter: int, count: int) -> None:
    choices = [f"option text {number}" for number in range(count)]
    expected = letter if letter < count else None
    for form in ("{}", "({})", "{}.", "Answer: {}", "The answer is {}."):
        assert option_of(form.format(chr(65 + letter)), choices) == expected
