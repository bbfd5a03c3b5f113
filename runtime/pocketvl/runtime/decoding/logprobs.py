"""Log-probabilities of tokens: what the model itself thought, before any sampling setting."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import UsageError

MAX_ALTERNATIVES = 20


@dataclass(frozen=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability.

    token: its bytes in UTF-8, maybe part of a character; those of a special token are its name.
    """

    token_id: int
    logprob: float
    token: bytes = b""


@dataclass(frozen=True)
class Logprobs(TokenLogprob):
    """The token that was drawn at one place of an answer, and the likeliest ones there, best first.

    The drawn token is among the likeliest only where it is one of them.
    """

    top: tuple[TokenLogprob, ...] = ()

    def spelled(self, spell: Callable[[int], bytes]) -> "Logprobs":
        """The same with the bytes of each token, which `spell` knows."""
        top = tuple(replace(one, token=spell(one.token_id)) for one in self.top)
        return replace(self, token=spell(self.token_id), top=top)


def check_logprobs(count: int) -> None:
    """Raises UsageError for a number of alternatives that is not 0 .. MAX_ALTERNATIVES."""
    if not 0 <= count <= MAX_ALTERNATIVES:
        raise UsageError(f"logprobs must be 0 (none) to {MAX_ALTERNATIVES} alternatives, not {count}.")


def logprobs_of(logits: NDArray[np.float32], token: int, count: int, never: NDArray[np.int64]) -> Logprobs:
    """log(softmax(logits)) at `token` and at the `count` likeliest ids; of equals the lowest id is first.

    logits (V,): the model's own. never: rows without a token, which are no alternatives, though they have
    their share of the probability.
    """
    scores = np.asarray(logits, np.float64)
    top = scores.max()
    scores = scores - (top + np.log(np.exp(scores - top).sum()))
    likely = scores.copy()
    likely[never] = -np.inf
    count = min(count, len(likely))
    if not count:
        return Logprobs(token, float(scores[token]))
    least = np.partition(likely, -count)[-count]
    ids = np.flatnonzero((likely >= least) & (likely > -np.inf))
    ids = ids[np.lexsort((ids, -likely[ids]))][:count]
    best = tuple(TokenLogprob(int(index), float(scores[index])) for index in ids)
    return Logprobs(token, float(scores[token]), top=best)
