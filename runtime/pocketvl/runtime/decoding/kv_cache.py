"""What the KV slots of a text engine hold, so that no conversation goes on over another one's keys."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.decoding.feed import Feed
from pocketvl.runtime.decoding.prefix import Rebuild, Reuse, common_prefix, plan_prefill
from pocketvl.runtime.errors import UsageError


class KVCache:
    """The contents of slots 0 .. length-1: token ids, media keys and the rope position after them.

    An engine has one for life. Its decode() truncates to the slot it writes at, whoever calls it; the caller
    that knows what was written appends it. So contents are never claimed that are not there.
    """

    def __init__(self) -> None:
        self._token_ids: list[int] = []
        self._media_keys: list[str | None] = []
        self._next_positions: list[int] = []  # after each slot
        self._in_use = threading.Lock()

    def __len__(self) -> int:
        return len(self._token_ids)

    @property
    def next_position(self) -> int:
        """Rope position of the token after the last slot; not the number of slots."""
        return self._next_positions[-1] if self._next_positions else 0

    def truncate(self, length: int) -> None:
        """Forget slots from `length` on."""
        for contents in (self._token_ids, self._media_keys, self._next_positions):
            del contents[length:]

    def append(
        self, token_ids: Sequence[int], media_keys: Sequence[str | None], positions: NDArray[np.int64]
    ) -> None:
        """Say what the next slots hold. positions: M-RoPE ids (3, S)."""
        reached = np.maximum.accumulate(np.maximum(positions.max(axis=0) + 1, self.next_position))
        self._token_ids += token_ids
        self._media_keys += media_keys
        self._next_positions += reached.tolist()

    def common_prefix(self, feed: Feed) -> int:
        """How many of the first slots hold what `feed` begins with."""
        return common_prefix(zip(self._token_ids, self._media_keys, strict=True), feed.slots())

    def plan(self, feed: Feed) -> Reuse | Rebuild:
        """Which slots can stay for `feed`, see prefix.py."""
        return plan_prefill(zip(self._token_ids, self._media_keys, strict=True), feed.slots())

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Held by whoever answers. Raises UsageError where another one does."""
        if not self._in_use.acquire(blocking=False):
            raise UsageError("This engine is answering already; wait for it, or cancel it.")
        try:
            yield
        finally:
            self._in_use.release()
