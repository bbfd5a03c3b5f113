"""What is decided about each token: which one is drawn, under which constraint, and how likely it was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.decoding.constraint import Constraint
from pocketvl.runtime.decoding.logprobs import Logprobs, check_logprobs, logprobs_of
from pocketvl.runtime.decoding.sampling import Sampler


@dataclass(frozen=True)
class Choice:
    """A token of an answer. is_last: a constraint lets nothing follow it."""

    token: int
    logprobs: Logprobs | None = None
    is_last: bool = False


class Chooser:
    """For one answer: asked for its tokens in their order, each of them once."""

    def __init__(
        self,
        sampler: Sampler,
        never: NDArray[np.int64],
        constraint: Constraint | None = None,
        logprobs: int = 0,
    ) -> None:
        """never: ids that are not drawn. logprobs: alternatives to note at each token; 0 notes nothing.

        Raises UsageError for a number of them out of range.
        """
        check_logprobs(logprobs)
        self._sampler = sampler
        self._never = never
        self._constraint = constraint
        self._logprobs = logprobs

    def choose(self, logits: NDArray[np.float32], seen: Sequence[int]) -> Choice:
        """logits (V,); seen: ids of prompt and answer so far. Raises EngineError."""
        never, is_last = self._never, False
        if self._constraint is not None:
            allowed = self._constraint.allowed()
            allowed[never] = False
            never = np.flatnonzero(~allowed)
        token = self._sampler.sample(logits, seen, never)
        if self._constraint is not None:
            self._constraint.accept(token)
            is_last = self._constraint.is_finished
        noted = logprobs_of(logits, token, self._logprobs, self._never) if self._logprobs else None
        return Choice(token, noted, is_last)
