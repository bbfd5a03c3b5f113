"""What a session gives back: text, tokens, positions, and what each stage took."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from pocketvl.runtime.decoding.logprobs import Logprobs
from pocketvl.runtime.decoding.stopping import StopReason
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.answer_text import Box, Quad
from pocketvl.runtime.text.tools.tool import AnyToolCall


@dataclass(frozen=True)
class Statistics:
    """Seconds and counts of one answer."""

    vision_seconds: float = 0.0  # encoding, and reading a video's frames
    images_encoded: int = 0
    images_cached: int = 0  # images whose embeddings were there already
    prefill_seconds: float = 0.0
    prefill_tokens: int = 0  # tokens fed before the first new one; those in the cache are not fed again
    reused_tokens: int = 0  # tokens of the prompt whose keys and values were in the cache
    decode_seconds: float = 0.0
    decode_tokens: int = 0  # tokens after the first
    time_to_first_token: float = 0.0  # from the call to the first token, loading and vision included
    drafted_tokens: int = 0  # by prompt lookup
    accepted_tokens: int = 0  # of those: drafts that became tokens of the answer
    slices_encoded: int = 0  # of videos: two frames each
    slices_cached: int = 0

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
    notes: tuple[str, ...] = ()  # sentences about images and videos that were not read by the letter
    stop_string: str | None = None  # that ended the text, where one did
    logprobs: tuple[Logprobs, ...] = ()  # of each token of token_ids, where they were asked for
    tool_calls: tuple[AnyToolCall, ...] = ()  # whose results are to come next
    quads: tuple[Quad, ...] = ()


class AnswerStream:
    """The pieces of an answer's text as they come, whole characters only; read them once.

    Whoever stops reading forgets the turn: the conversation is as it was before. ChatSession.cancel() ends
    the answer and keeps what was said.
    """

    def __init__(self, pieces: Generator[str, None, Answer]) -> None:
        self._pieces = pieces
        self._answer: Answer | None = None

    def __iter__(self) -> Iterator[str]:
        self._answer = yield from self._pieces

    @property
    def answer(self) -> Answer:
        """The whole answer; what has not been read of it is waited for."""
        if self._answer is None:
            for _ in self:
                pass
        if self._answer is None:
            raise UsageError("This answer was stopped before its end; there is no whole of it.")
        return self._answer

    def close(self) -> None:
        """Stop now, and let others use the engine."""
        self._pieces.close()
