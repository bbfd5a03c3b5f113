"""Prompt lookup: what followed the same tokens earlier, in the prompt or in the answer, may follow again.

After "Prompt Lookup Decoding" (A. Saxena, 2023), with the longest match of several lengths.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

NGRAMS = (8, 4, 2)  # lengths of a match, the longest first


@dataclass(frozen=True)
class Match:
    """The last `ngram` tokens were there before; `follows` is the index of what came after them then."""

    ngram: int
    follows: int


class NgramIndex:
    """Tokens of prompt and answer, and where each run of NGRAMS tokens ended last.

    Each token costs a dictionary entry for each length, however many there are before it.
    """

    def __init__(self, token_ids: Sequence[int], never: Collection[int]) -> None:
        """never: ids that are not drafted, such as placeholders of images."""
        self._tokens: list[int] = []
        self._never = frozenset(never)
        self._ends: dict[tuple[int, ...], int] = {}
        for token in token_ids:
            self.add(token)

    def add(self, token: int) -> None:
        """The next token is known; so is what follows the runs that ended before it."""
        tokens = self._tokens
        for ngram in NGRAMS:
            if len(tokens) >= ngram:
                self._ends[tuple(tokens[-ngram:])] = len(tokens)
        tokens.append(token)

    def match(self) -> Match | None:
        """The longest run of NGRAMS tokens that has an earlier like, the latest of those."""
        tokens = self._tokens
        for ngram in NGRAMS:
            follows = self._ends.get(tuple(tokens[-ngram:])) if len(tokens) >= ngram else None
            if follows is not None:
                return Match(ngram, follows)
        return None

    def draft(self, match: Match, length: int) -> tuple[int, ...]:
        """At most `length` tokens that followed; where they reach the end, they go on with themselves.

        They end before an id that is never drafted.
        """
        drafts: list[int] = []
        for index in range(match.follows, match.follows + length):
            known = len(self._tokens)
            token = self._tokens[index] if index < known else drafts[index - known]
            if token in self._never:
                break
            drafts.append(token)
        return tuple(drafts)
