"""Yes or no: the answers of POPE, MME and HallusionBench."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_BOTH = re.compile(r"\W*(?:yes\W+(?:and|or)?\W*no|no\W+(?:and|or)?\W*yes)\W*", re.IGNORECASE)


def yesno_score(answers: Sequence[str], answer: str) -> float:
    """1 if the answer says yes or no as a right one does, else 0; one that says neither is wrong."""
    given = yes_or_no(answer)
    return float(given is not None and any(yes_or_no(right) == given for right in answers))


def yes_or_no(text: str) -> bool | None:
    """True for yes, False for no, None if the text says neither or both; nothing is guessed.

    The first word decides if it is one of the two, as in MME (Fu et al. 2023, arXiv:2306.13394); else the
    only one of the two that occurs as a word, as VLMEvalKit reads POPE and HallusionBench.
    """
    words: list[str] = [word.casefold() for word in _WORD.findall(text)]
    if not words or _BOTH.fullmatch(text):
        return None
    if words[0] in ("yes", "no"):
        return words[0] == "yes"
    if ("yes" in words) == ("no" in words):
        return None
    return "yes" in words


def is_yes_or_no(text: str) -> bool:
    """Whether the text is one of the two words alone, but for case and signs around it."""
    return text.strip(" \t\r\n.!\"'").casefold() in ("yes", "no")
