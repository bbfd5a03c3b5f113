"""What is drafted, how much of it, and where none is."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.decoding.speculation.draft_length import Acceptance, PassCosts, draft_length
from pocketvl.runtime.decoding.speculation.lookup import Match, NgramIndex
from pocketvl.runtime.decoding.speculation.prompt_lookup import PromptLookup

FLAT = {2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}
STEEP = {2: 2.0, 4: 4.0, 8: 8.0, 16: 16.0}
GEMM = {2: 2.2, 4: 2.3, 8: 2.9, 16: 4.3}  # a kernel for one row, and another for more


def longest_match(tokens: Sequence[int]) -> Match | None:
    """By trying each place."""
    for ngram in (8, 4, 2):
        for follows in range(len(tokens) - 1, ngram - 1, -1):
            if list(tokens[follows - ngram : follows]) == list(tokens[len(tokens) - ngram :]):
                return Match(ngram, follows)
    return None


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 60))
def test_the_index_finds_what_a_search_finds(tokens: list[int], prompt: int) -> None:
    index = NgramIndex(tokens[:prompt], ())
    for token in tokens[prompt:]:
        index.add(token)
    assert index.match() == longest_match(tokens)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=40), st.integers(0, 12))
def test_a_draft_is_what_followed_and_goes_on_with_itself(tokens: list[int], length: int) -> None:
    index = NgramIndex(tokens, ())
    match = index.match()
    if match is not None:
        whole = list(tokens)
        for step in range(length):
            whole.append(whole[match.follows + step])
        assert index.draft(match, length) == tuple(whole[len(tokens) :])


def test_a_draft_ends_before_what_stands_for_an_image() -> None:
    pad = 99
    index = NgramIndex([1, 2, 3, pad, pad, 4, 1, 2], {pad})
    assert index.draft(Match(2, 2), 5) == (3,)
    assert NgramIndex([1, 2, pad, 1, 2], {pad}).draft(Match(2, 2), 5) == ()


@pytest.mark.parametrize(
    ("acceptance", "costs", "limit", "expected"),
    [
        (1.0, FLAT, 15, 15),
        (1.0, FLAT, 14, 7),
        (1.0, FLAT, 0, 0),
        (0.0, FLAT, 15, 0),
        (0.04, FLAT, 15, 0),  # 1.04 tokens for the price of one is not worth it
        (1.0, STEEP, 15, 0),
        (0.9, GEMM, 15, 7),
        (0.95, GEMM, 15, 15),
        (0.6, GEMM, 15, 0),
        (0.9, GEMM, 1, 0),
        (0.5, {2: 1.1, 4: 1.5, 8: 2.4, 16: 4.0}, 15, 1),
    ],
)
def test_the_length_that_makes_most_tokens_a_second(
    acceptance: float, costs: dict[int, float], limit: int, expected: int
) -> None:
    assert draft_length(acceptance, costs, limit) == expected


def test_acceptance_is_that_of_lately_and_none_at_first() -> None:
    acceptance = Acceptance()
    assert acceptance.probability(4) == 0
    for was_right in [False] * 40 + [True] * 32:
        acceptance.note(4, was_right)
    assert acceptance.probability(4) == 32 / 34
    assert acceptance.probability(2) == 0


def test_costs_are_medians_relative_to_one_row() -> None:
    costs = PassCosts()
    assert costs.relative() is None
    for seconds in (0.1, 9.0, 0.1):
        costs.note(1, seconds)
    assert costs.relative() == pytest.approx({2: 1.2, 4: 1.6, 8: 2.4, 16: 4.0})
    costs.note(3, 0.25)  # counts for 4
    assert costs.relative() == pytest.approx({2: 1.2, 4: 2.5, 8: 3.3, 16: 4.9})
    costs.note(16, 0.1)
    assert costs.relative() == pytest.approx({2: 1.2, 4: 2.5, 8: 3.3, 16: 1.0})


def test_old_costs_are_forgotten_but_for_one_row() -> None:
    costs = PassCosts()
    costs.note(1, 0.1)
    costs.note(2, 5.0)
    for _ in range(256):
        costs.note(4, 0.2)
    assert costs.relative() == pytest.approx({2: 1.2, 4: 2.0, 8: 2.8, 16: 4.4})


class Fixed(PassCosts):
    def __init__(self, costs: dict[int, float]) -> None:
        super().__init__()
        self._costs = costs

    def relative(self) -> dict[int, float]:
        return self._costs


def test_nothing_is_drafted_before_guesses_were_right() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 7, 8, 9, 1], (), Fixed(FLAT))
    assert not lookup.propose(15)
    lookup.add(2)
    assert not lookup.propose(15)  # a match, but no guess was tested
    lookup.add(3)
    assert list(lookup.propose(15)[:3]) == [4, 5, 6]
    lookup.note_pass(16, 0.1, 15)
    for token in (4, 5, 9):
        lookup.add(token)
    assert (lookup.drafted, lookup.accepted) == (15, 2)


def test_an_answer_that_quotes_wrongly_gets_no_drafts() -> None:
    lookup = PromptLookup([1, 2, 3] * 20, (), Fixed(GEMM))
    for token in (4, 1, 2, 4, 1, 2, 5, 1, 2, 6, 1, 2, 7, 1, 2, 8):
        lookup.add(token)
    lookup.add(1)
    lookup.add(2)
    assert not lookup.propose(15)
