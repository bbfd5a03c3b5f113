"""One question in progress: what the caller asked for, and what it took so far."""

import time
from collections.abc import Iterator, Sequence

from pocketvl.runtime.chat.answer import Statistics
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.text.tool_stream import Event
from pocketvl.runtime.text.tools import AnyToolCall, ToolSet


class Turn:
    """Mutable while an answer is made; statistics() sums it up."""

    def __init__(self, sampler: Sampler, max_tokens: int, tools: ToolSet | None = None) -> None:
        self.sampler = sampler
        self.max_tokens = max_tokens
        self.tools = tools
        self.calls: list[AnyToolCall] = []
        self.vision_seconds = 0.0
        self.images_encoded = 0
        self.images_cached = 0
        self.prefill_seconds = 0.0
        self.prefill_tokens = 0
        self._pieces: list[str] = []
        self._tokens = 0
        self.begin()

    def begin(self) -> None:
        """Count time from here on."""
        self._began = self._first = self._last = time.perf_counter()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add_text(self, piece: str) -> None:
        """Call with each piece of the answer's text."""
        self._pieces.append(piece)

    def add(self, events: Sequence[Event]) -> Iterator[str]:
        """Keep calls and text; the text again."""
        for event in events:
            if isinstance(event, str):
                self.add_text(event)
                yield event
            else:
                self.calls.append(event)

    def token_done(self) -> None:
        """Call once a token, when it is known."""
        self._last = time.perf_counter()
        self._tokens += 1
        if self._tokens == 1:
            self._first = self._last

    def statistics(self) -> Statistics:
        return Statistics(
            vision_seconds=self.vision_seconds,
            images_encoded=self.images_encoded,
            images_cached=self.images_cached,
            prefill_seconds=self.prefill_seconds,
            prefill_tokens=self.prefill_tokens,
            decode_seconds=self._last - self._first,
            decode_tokens=max(self._tokens - 1, 0),
            time_to_first_token=self._first - self._began,
        )
