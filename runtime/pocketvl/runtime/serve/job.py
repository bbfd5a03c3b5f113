"""One request on its way through the worker, as the event loop sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.serve.errors import RequestError

_AGAIN = 0.05  # seconds; a session forgets a cancel that came before its answer began


class Job:
    """Made and read in the event loop; `cancelled` and the posting methods are for the worker's thread."""

    def __init__(self, messages: list[dict[str, Any]], options: AnswerOptions, answer_time: float) -> None:
        """answer_time: seconds from the beginning of the answer, after which it is cancelled."""
        self.messages = messages
        self.options = options
        self.cancelled = False
        self.late = False  # cancelled because its time was over
        self._answer_time = answer_time
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._events: asyncio.Queue[str | Answer | BaseException] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._interrupt: Callable[[Job], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.waited = 0.0  # seconds in the queue

    def submitted(self, interrupt: Callable[["Job"], None]) -> None:
        """interrupt: ends this job wherever it is; may be called often."""
        self._interrupt = interrupt

    def cancel(self) -> None:
        """End the answer within a token, or take the request out of the queue."""
        if self._ended.is_set() or self._interrupt is None:
            return
        self.cancelled = True
        self._interrupt(self)
        self._loop.call_later(_AGAIN, self.cancel)

    async def ended(self) -> None:
        """Until the worker has nothing more to do with it."""
        await self._ended.wait()

    async def pieces(self) -> AsyncIterator[str | Answer]:
        """Pieces of text, then the answer. Raises what the session raises, and RequestError."""
        while True:
            event = await self._events.get()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Answer) and not event.token_ids:
                raise self._cut_short()
            yield event
            if isinstance(event, Answer):
                return

    def _cut_short(self) -> RequestError:
        """What cancelled the answer before its first token."""
        if self.late:
            return RequestError(504, "The time for an answer was over before its first token.")
        return client_left() if self.cancelled else stopping()

    def post_started(self) -> None:
        self._post(self._start)

    def post_text(self, piece: str) -> None:
        self._post(self._events.put_nowait, piece)

    def post_end(self, result: Answer | BaseException) -> None:
        """Once, as the last."""
        self._post(self._end, result)

    def _start(self) -> None:
        self.waited = self._loop.time() - self._began
        self._timer = self._loop.call_later(self._answer_time, self._expire)

    def _expire(self) -> None:
        self.late = True
        self.cancel()

    def _end(self, result: Answer | BaseException) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        self._events.put_nowait(result)

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def client_left() -> RequestError:
    """Which nobody reads."""
    return RequestError(499, "The client left.")


def stopping() -> RequestError:
    return RequestError(503, "The server is stopping.", code="stopping", headers={"Retry-After": "5"})
