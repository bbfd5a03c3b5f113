"""How many drafts are worth a pass: from how often guesses were right, and what passes took here."""

from collections import deque
from collections.abc import Mapping
from statistics import median

# Drafts and the token before them are 2, 4, 8 or 16 rows: few enough sizes that each is soon measured.
DRAFT_LENGTHS = (1, 3, 7, 15)
LEAST_GAIN = 1.05  # times the tokens per second of passes over one token
_COST_PER_ROW = 0.2  # of one more row, as a share of the first, where nothing was measured yet
_GUESSES = 32  # that tell how often guesses are right
_DOUBT = 2  # guesses, counted as wrong ones beside those
_PASSES = 9  # of each size, whose median counts
_FORGET = 256  # passes after which an old measurement counts no longer


def draft_length(acceptance: float, costs: Mapping[int, float], limit: int) -> int:
    """The length of DRAFT_LENGTHS up to `limit` that makes most tokens per second; 0 if none makes more than
    LEAST_GAIN times those of a plain pass.

    acceptance: the probability p that a draft is right if those before it are. A pass with k drafts yields
    1 + p + .. + p^k tokens (Leviathan et al. 2023, equation 1). costs: of a pass over so many rows, relative
    to one row.
    """
    best, most = 0, LEAST_GAIN
    for length in DRAFT_LENGTHS:
        if length > limit:
            break
        gain = sum(acceptance**power for power in range(length + 1)) / costs[length + 1]
        if gain > most:
            best, most = length, gain
    return best


class Acceptance:
    """How often guesses were right lately, by the length of the match that made them."""

    def __init__(self) -> None:
        self._guesses: dict[int, deque[bool]] = {}

    def note(self, ngram: int, was_right: bool) -> None:
        """A guess after a match of `ngram` tokens was compared with the token that came."""
        self._guesses.setdefault(ngram, deque(maxlen=_GUESSES)).append(was_right)

    def probability(self, ngram: int) -> float:
        """That the next guess is right; 0 without any so far."""
        guesses = self._guesses.get(ngram, ())
        return sum(guesses) / (len(guesses) + _DOUBT)


class PassCosts:
    """What passes of decoder and head over 1, 2, 4, 8 and 16 rows take on this machine."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[tuple[int, float]]] = {}
        self._passes = 0

    def note(self, rows: int, seconds: float) -> None:
        """One pass was timed; one of a size between counts for the next larger."""
        size = next((length + 1 for length in (0, *DRAFT_LENGTHS) if rows <= length + 1), rows)
        self._passes += 1
        self._seconds.setdefault(size, deque(maxlen=_PASSES)).append((self._passes, seconds))

    def relative(self) -> dict[int, float] | None:
        """Rows of each draft length -> seconds relative to one row; None before one row was timed.

        A size that was not timed lately costs what the next smaller one does, and a little for each row more:
        so it is tried where it may pay, and tried again when what was measured is old.
        """
        one = self._median(1)
        if one is None:
            return None
        costs, rows, cost = {}, 1, 1.0
        for length in DRAFT_LENGTHS:
            seconds = self._median(length + 1)
            cost = cost + _COST_PER_ROW * (length + 1 - rows) if seconds is None else seconds / one
            rows = length + 1
            costs[rows] = cost
        return costs

    def _median(self, rows: int) -> float | None:
        """In seconds. Of one row old ones count, too: a plain pass may not have been needed lately."""
        timed = self._seconds.get(rows, ())
        lately = [seconds for at, seconds in timed if rows == 1 or at > self._passes - _FORGET]
        return median(lately) if lately else None
