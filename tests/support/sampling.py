"""Samplers that say what a test wants."""

from collections.abc import Iterable

from pocketvl.runtime.decoding.sampling import Sampler


class Scripted(Sampler):
    """Says these tokens, one after the other."""

    def __init__(self, tokens: Iterable[int]) -> None:
        super().__init__()
        self._tokens = iter(tokens)

    def sample(self, logits: object, seen: object = (), never: object = None) -> int:
        return next(self._tokens)
