"""Where a text ends, and what of it may be shown at each moment."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.stop_strings import StopStrings


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
