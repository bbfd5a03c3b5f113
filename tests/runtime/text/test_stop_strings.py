"""Where a text ends, and what of it may be shown at each moment."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.stop_strings import StopStrings


@pytest.mark.parametrize(
    ("strings", "pieces", "shown", "found"),
    [
        ([], ["a", "b"], ["a", "b", ""], None),
        (["\n"], ["one\ntwo"], ["one", ""], "\n"),
        (["END"], ["a", "E", "N", "D", "b"], ["a", "", "", "", "", ""], "END"),
        (["END"], ["aE", "Nb"], ["a", "ENb", ""], None),  # held back only while it may become one
        (["END"], ["aEN"], ["a", "EN"], None),
        (["aab"], ["aa", "a", "b"], ["", "a", "", ""], "aab"),
        (["x"], ["ax", "x"], ["a", "", ""], "x"),
        (["bc", "abcd"], ["abcd"], ["a", ""], "bc"),  # which ends first
        (["bc", "abcd"], ["a", "b", "c", "d"], ["", "", "a", "", ""], "bc"),
        (["c", "abc"], ["abc"], ["", ""], "abc"),  # of those that end together, the longest
        (["日本"], ["a日", "本b"], ["a", "", ""], "日本"),
    ],
)
def test_text_ends_before_the_first_stop_string(
    strings: list[str], pieces: list[str], shown: list[str], found: str | None
) -> None:
    stop = StopStrings(strings)
    assert [*(stop.push(piece) for piece in pieces), stop.finish()] == shown
    assert stop.found == found


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=4), st.data())
def test_how_a_text_is_cut_changes_nothing(text: str, strings: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    stop, shown = StopStrings(strings), ""
    for start, end in itertools.pairwise([0, *cuts, len(text)]):
        shown += stop.push(text[start:end])
        assert not any(string in shown for string in strings)
        if stop.found is None:  # what is held back begins a stop string
            held = text[len(shown) : end]
            assert not held or any(string.startswith(held) for string in strings)
    shown += stop.finish()
    ends = [text.find(string) + len(string) for string in strings if string in text]
    if not ends:
        assert (shown, stop.found) == (text, None)
    else:
        assert shown + (stop.found or "") == text[: min(ends)]
        assert stop.found == max((s for s in strings if text[: min(ends)].endswith(s)), key=len)


@pytest.mark.parametrize(
    ("strings", "sentence"),
    [
        ([""], "must not be empty"),
        (["a"] * 5, "at most 4 texts, not 5"),
        ("abc", "list of texts"),
        ([1], "list"),
    ],
)
def test_stop_strings_that_cannot_be_meant(strings: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        StopStrings(strings)
