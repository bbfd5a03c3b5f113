"""The loop that makes an answer, one token after the other."""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from pocketvl.runtime.decoding.choosing import Choice, Chooser
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.engine import Float32


class Proposer(Protocol):
    """Guesses the tokens that follow, so that one pass of the decoder can check several at once."""

    def add(self, token: int) -> None:
        """The next token of the answer is known."""

    def propose(self, limit: int) -> Sequence[int]:
        """At most `limit` drafts of what follows the tokens so far, maybe none."""

    def note_pass(self, rows: int, seconds: float, drafted: int) -> None:
        """A pass of decoder and head over so many tokens took so long; `drafted` of them were drafts."""


def generate(
    decoder: Decoder,
    chooser: Chooser,
    hidden: Float32,
    prompt: Sequence[int],
    most: int,
    proposer: Proposer | None = None,
) -> Iterator[Choice]:
    """Token after token, without end; what follows a token is computed only when it is asked for.

    hidden: the last prompt token's hidden state (1, hidden_size). prompt: the ids before the answer, which
    the KV cache holds. most: tokens that the answer may have, beyond which nothing is drafted. Whoever reads
    the tokens decides where the answer stops. Raises EngineError.

    Drafts change no token: each is chosen from the logits after the tokens before it, in their order. A draft
    that was not chosen is taken out of the KV cache again.
    """
    seen = list(prompt)
    logits = decoder.logits(hidden)
    drafts: tuple[int, ...] = ()
    while True:
        for row, draft in zip(logits, (*drafts, None), strict=True):
            choice = chooser.choose(row, seen)
            seen.append(choice.token)
            if proposer is not None:
                proposer.add(choice.token)
            yield choice
            if choice.token != draft:
                break
        decoder.truncate(len(seen) - 1)  # drafts that were not chosen
        drafts = ()
        if proposer is not None:
            drafts = tuple(proposer.propose(max(0, len(prompt) + most - len(seen) - 1)))
        began = time.perf_counter()
        logits = decoder.logits(decoder.extend((seen[-1], *drafts)))
        if proposer is not None:
            proposer.note_pass(len(logits), time.perf_counter() - began, len(drafts))
