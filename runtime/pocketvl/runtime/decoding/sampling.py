"""Choosing the next token from logits."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import EngineError, UsageError


class Sampler:
    """Repetition penalty, temperature, top_k, top_p, in that order; the same seed draws the same tokens.

    temperature 0 takes the likeliest token (the lowest id among equals). top_k 0 and top_p 1 limit nothing.
    """

    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
    ) -> None:
        """Raises UsageError for values that cannot be meant."""
        if not (math.isfinite(temperature) and temperature >= 0):
            raise UsageError(f"temperature must be 0 (greedy) or more, not {temperature}.")
        if top_k < 0:
            raise UsageError(f"top_k must be 0 (no limit) or more, not {top_k}.")
        if not 0 < top_p <= 1:
            raise UsageError(f"top_p must lie above 0 and not above 1 (no limit), not {top_p}.")
        if not (math.isfinite(repetition_penalty) and repetition_penalty > 0):
            raise UsageError(f"repetition_penalty must be above 0, 1 being none, not {repetition_penalty}.")
        if seed is not None and seed < 0:
            raise UsageError(f"seed must be 0 or more, not {seed}.")
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._penalty = repetition_penalty
        self._random = np.random.default_rng(seed)

    def sample(
        self,
        logits: NDArray[np.float32],
        seen: Iterable[int] = (),
        never: NDArray[np.int64] | None = None,
    ) -> int:
        """The next token's id, one of candidates() drawn by its probability. Arguments and errors are those
        of candidates()."""
        ids, probabilities = self.candidates(logits, seen, never)
        if self._temperature == 0.0:
            return int(ids[0])
        return int(self._random.choice(ids, p=probabilities))

    def candidates(
        self,
        logits: NDArray[np.float32],
        seen: Iterable[int] = (),
        never: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids that may be drawn, in no order that means anything, and their probabilities.

        logits (V,); `seen`: ids of prompt and answer so far, for the penalty; `never`: ids that are not
        drawn, whatever their logits.

        Raises EngineError if the logits are not numbers to choose by.
        """
        scores = np.array(logits, np.float64).reshape(-1)
        top = scores.max(initial=-np.inf)  # not a number if any is not
        if not np.isfinite(top):
            raise EngineError(
                f"The decoder's largest logit is {top}; the artifact is damaged or overflows on this"
                " device: run `pocketvl verify` on the bundle."
            )
        if never is not None:
            scores[never] = -np.inf
            if scores.max(initial=-np.inf) == -np.inf:
                raise EngineError(
                    "The decoder's logits leave no token of the vocabulary; the artifact is damaged: run"
                    " `pocketvl verify` on the bundle."
                )
        if self._penalty != 1.0:
            _penalize(scores, seen, self._penalty)
        if self._temperature == 0.0:
            return np.array([scores.argmax()]), np.ones(1)
        return self._within_limits(scores)

    def _within_limits(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """After temperature, top_k and top_p."""
        ids = np.arange(len(scores))
        if 0 < self._top_k < len(scores):
            ids = np.argpartition(-scores, self._top_k - 1)[: self._top_k]
        with np.errstate(over="ignore"):  # a tiny temperature sends the rest to -inf, which is meant
            weights = np.exp((scores[ids] - scores[ids].max()) / self._temperature)
        weights /= weights.sum()
        if self._top_p < 1.0:
            # All tokens this unlikely weigh less than 1 - top_p together: no need to sort them.
            likely = weights >= min((1 - self._top_p) / len(weights), weights.max())
            ids, weights = ids[likely], weights[likely]
            order = np.lexsort((ids, -weights))
            ids, weights = ids[order], weights[order]
            before = np.cumsum(weights) - weights
            ids, weights = ids[before < self._top_p], weights[before < self._top_p]
        ids, weights = ids[weights > 0], weights[weights > 0]
        return ids, weights / weights.sum()


def _penalize(scores: NDArray[np.float64], seen: Iterable[int], penalty: float) -> None:
    """Make tokens seen before less likely (penalty above 1), whatever the sign of their score."""
    ids = np.unique(np.fromiter(seen, np.int64))
    ids = ids[(ids >= 0) & (ids < len(scores))]
    scores[ids] = np.where(scores[ids] < 0, scores[ids] * penalty, scores[ids] / penalty)
