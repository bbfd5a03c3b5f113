"""What a session gives back: text, tokens, positions, and what each stage took."""

from dataclasses import dataclass
from typing import Literal

from pocketvl.runtime.answer_text import Box

StopReason = Literal["stop", "length", "context", "cancelled", "repetition"]


@dataclass(frozen=True)
class Statistics:
    """Seconds and counts of one answer."""

    vision_seconds: float
    images_encoded: int
    images_cached: int  # pictures whose embeddings were there already
    prefill_seconds: float
    prefill_tokens: int  # tokens fed before the first new one; those in the cache are not fed again
    decode_seconds: float
    decode_tokens: int  # tokens after the first
    time_to_first_token: float  # from the call to the first token, loading and vision included

    @property
    def prefill_rate(self) -> float:
        """Tokens a second."""
        return self.prefill_tokens / self.prefill_seconds if self.prefill_seconds else 0.0

    @property
    def decode_rate(self) -> float:
        """Tokens a second."""
        return self.decode_tokens / self.decode_seconds if self.decode_seconds else 0.0


@dataclass(frozen=True)
class Answer:
    text: str
    token_ids: tuple[int, ...]  # as generated, the stop token included
    prompt_token_ids: tuple[int, ...]  # the whole conversation up to where the answer begins
    next_position: int  # rope position of the token that would follow the answer
    stop_reason: StopReason
    statistics: Statistics
    boxes: tuple[Box, ...] = ()  # of objects that the answer points at
    notes: tuple[str, ...] = ()  # sentences about images that were not read by the letter
