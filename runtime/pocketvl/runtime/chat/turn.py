"""One question in progress: what the caller asked for, and what it took so far."""

import time

from pocketvl.runtime.chat.answer import Statistics
from pocketvl.runtime.decoding.choosing import Choice, Chooser
from pocketvl.runtime.decoding.logprobs import Logprobs
from pocketvl.runtime.text.stop_strings import StopStrings
from pocketvl.runtime.text.tools.tool import ToolSet


class Turn:
    """Mutable while an answer is made; statistics() sums it up."""

    def __init__(
        self, chooser: Chooser, max_tokens: int, stop: StopStrings, tools: ToolSet | None, lookup: bool
    ) -> None:
        """tools: those that the caller names; None if it names none."""
        self.chooser = chooser
        self.max_tokens = max_tokens
        self.stop = stop
        self.tools = tools
        self.lookup = lookup
        self.logprobs: list[Logprobs] = []
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self.vision_seconds = 0.0
        self.images_encoded = 0
        self.images_cached = 0
        self.slices_encoded = 0
        self.slices_cached = 0
        self.prefill_seconds = 0.0
        self.prefill_tokens = 0
        self.reused_tokens = 0
        self._tokens = 0
        self.begin()

    def begin(self) -> None:
        """Count time from here on."""
        self._began = self._first = self._last = time.perf_counter()

    def token_done(self, choice: Choice) -> None:
        """Call once a token, when it is known."""
        if choice.logprobs is not None:
            self.logprobs.append(choice.logprobs)
        self._last = time.perf_counter()
        self._tokens += 1
        if self._tokens == 1:
            self._first = self._last

    def statistics(self) -> Statistics:
        return Statistics(
            vision_seconds=self.vision_seconds,
            images_encoded=self.images_encoded,
            images_cached=self.images_cached,
            slices_encoded=self.slices_encoded,
            slices_cached=self.slices_cached,
            prefill_seconds=self.prefill_seconds,
            prefill_tokens=self.prefill_tokens,
            reused_tokens=self.reused_tokens,
            decode_seconds=self._last - self._first,
            decode_tokens=max(self._tokens - 1, 0),
            time_to_first_token=self._first - self._began,
            drafted_tokens=self.drafted_tokens,
            accepted_tokens=self.accepted_tokens,
        )
