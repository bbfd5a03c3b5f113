"""Multiple choice: which option an answer names. Where that is not clear, none: nothing is guessed."""

import re
import string
from collections.abc import Sequence

# A and I are words as well, so that they need a sign or the end of the text behind them.
_LETTER = r"\s*[:=]?\s*[(\[*\"']*([B-HJ-Z](?!\w)|[AI](?=\s*(?:$|[^\w\s])))"
# The first form that occurs decides.
_FORMS = (
    re.compile(r"\b[Aa]nswer(?:\s+is)?(?:\s+[Oo]ption)?" + _LETTER),  # the answer is (B), Answer: B
    re.compile(r"\b(?:[Oo]ption|[Cc]hoice)(?:\s+is)?" + _LETTER),
    re.compile(r"(?<!\w)([A-Z])[).:\]]"),  # B. the dog, (B) the dog
)
_ALONE = re.compile(r"\W*([A-Za-z])\W*")


def choice_score(choices: Sequence[str], answers: Sequence[str], answer: str) -> float:
    """1 if the answer names the right option, by letter or by text, else 0."""
    given = option_of(answer, choices)
    return float(given is not None and any(option_of(right, choices) == given for right in answers))


def option_of(answer: str, choices: Sequence[str]) -> int | None:
    """Number of the option that the answer names, None if it names none or several.

    In this order: a letter alone, the text of an option, "the answer is B", "option B", a letter before a
    sign as in "B. dog", the one option whose text occurs in the answer.
    """
    letters = string.ascii_uppercase[: len(choices)]
    alone = _ALONE.fullmatch(answer)
    if alone and alone[1].upper() in letters:
        return letters.index(alone[1].upper())
    plain = [_plain(choice) for choice in choices]
    if plain.count(_plain(answer)) == 1:
        return plain.index(_plain(answer))
    for form in _FORMS:
        named = {letter for letter in form.findall(answer) if letter in letters}
        if named:
            return letters.index(named.pop()) if len(named) == 1 else None
    return _only_mentioned(_plain(answer), plain)


def _only_mentioned(answer: str, choices: list[str]) -> int | None:
    """The one option that occurs as whole words; one inside another that occurs does not count."""
    found = [i for i, choice in enumerate(choices) if _occurs(choice, answer)]
    longest = [i for i in found if not any(i != j and _occurs(choices[i], choices[j]) for j in found)]
    return longest[0] if len(longest) == 1 else None


def _occurs(choice: str, answer: str) -> bool:
    return bool(choice) and re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", answer) is not None


def _plain(text: str) -> str:
    """Lower case, single spaces, no sign at the end."""
    return " ".join(text.casefold().split()).rstrip(".!")
