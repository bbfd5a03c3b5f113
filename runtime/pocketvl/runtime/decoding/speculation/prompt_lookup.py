"""Prompt lookup as a proposer: drafts where they are expected to pay, none elsewhere."""

from collections.abc import Collection, Sequence

from pocketvl.runtime.decoding.speculation.draft_length import (
    DRAFT_LENGTHS,
    Acceptance,
    PassCosts,
    draft_length,
)
from pocketvl.runtime.decoding.speculation.lookup import NgramIndex


class PromptLookup:
    """A Proposer (see generation.py) for one answer.

    Each token is compared with what was, or would have been, the first draft: so it is known at all times how
    good drafts are, at no cost, and an answer that quotes nothing gets none.
    """

    def __init__(
        self, prompt: Sequence[int], never: Collection[int], costs: PassCosts, most: int = DRAFT_LENGTHS[-1]
    ) -> None:
        """never: ids that are not drafted. costs: of this machine's passes, kept from answer to answer.
        most: drafts in one pass."""
        self._index = NgramIndex(prompt, never)
        self._costs = costs
        self._most = most
        self._acceptance = Acceptance()
        self._match = self._index.match()
        self.drafted = 0
        self.accepted = 0
        self._pending: list[int] = []  # drafts that no token has been compared with

    def add(self, token: int) -> None:
        """See Proposer."""
        if self._match is not None:
            for guess in self._index.draft(self._match, 1):
                self._acceptance.note(self._match.ngram, guess == token)
        if self._pending:
            was_right = self._pending[0] == token
            self.accepted += was_right
            self._pending = self._pending[1:] if was_right else []
        self._index.add(token)
        self._match = self._index.match()

    def propose(self, limit: int) -> Sequence[int]:
        """See Proposer."""
        costs = self._costs.relative()
        if self._match is None or costs is None:
            return ()
        acceptance = self._acceptance.probability(self._match.ngram)
        length = draft_length(acceptance, costs, min(limit, self._most))
        self._pending = list(self._index.draft(self._match, length))
        return self._pending

    def note_pass(self, rows: int, seconds: float, drafted: int) -> None:
        """See Proposer."""
        self._costs.note(rows, seconds)
        self.drafted += drafted
