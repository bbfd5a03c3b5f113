"""When an answer ends: a rule over its tokens, asked after each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pocketvl.runtime.decoding.repetition import repeats

StopReason = Literal["stop", "length", "context", "cancelled", "repetition", "tool_calls"]


@dataclass(frozen=True)
class StopRule:
    """eos: ids that end an answer. max_tokens: as many as are wanted. room: slots of the context that the
    prompt leaves. repetition: whether an answer that repeats itself without end is ended."""

    eos: tuple[int, ...]
    max_tokens: int
    room: int
    repetition: bool

    @property
    def most(self) -> int:
        """Tokens that an answer can have: one more than fits, which is not fed any more."""
        return min(self.max_tokens, self.room + 1)

    def reason(
        self, token_ids: Sequence[int], *, cancelled: bool, is_whole: bool = False
    ) -> StopReason | None:
        """Why the answer ends with the last of these tokens; None if it goes on.

        is_whole: a stop string was found, or nothing can follow under a constraint.
        """
        if token_ids[-1] in self.eos or is_whole:
            return "stop"
        if cancelled:
            return "cancelled"
        if len(token_ids) >= self.max_tokens:
            return "length"
        if len(token_ids) > self.room:
            return "context"
        return "repetition" if self.repetition and repeats(token_ids) else None
