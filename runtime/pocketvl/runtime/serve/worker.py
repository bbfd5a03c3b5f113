"""The one thread that answers, and the queue before it."""

import logging
import math
import threading
import time
from collections import deque
from contextlib import closing

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.job import Job, client_left, stopping

log = logging.getLogger("pocketvl.serve")

_LONGEST_WAIT = 60  # seconds that a client is asked to wait for a place


class Worker:
    """Answers one job at a time, first come first served, with one session.

    The session's engine keeps the keys and values of the last conversation, and its vision pipeline the
    embeddings of images: a request that begins as the last one did is fed from there on only.
    """

    def __init__(self, session: ChatSession, most_waiting: int) -> None:
        self._session = session
        self._most_waiting = most_waiting
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._mean_seconds = 1.0  # of an answer, the last ones weighing most
        self._thread = threading.Thread(target=self._run, name="pocketvl-serve", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return int(self._current is not None)

    def submit(self, job: Job) -> None:
        """Raises RequestError: 429 where the queue is full, 503 where the server is stopping."""
        with self._changed:
            if self._stopped:
                raise stopping()
            if len(self._waiting) >= self._most_waiting + (self._current is None):
                seconds = min(_LONGEST_WAIT, max(1, math.ceil(self._mean_seconds)))
                raise RequestError(
                    429,
                    f"{len(self._waiting)} requests are waiting already, as many as may; try again later.",
                    code="queue_full",
                    headers={"Retry-After": str(seconds)},
                )
            self._waiting.append(job)
            job.submitted(self._interrupt)
            self._changed.notify()

    def stop_accepting(self) -> None:
        """Refuse what comes and what waits; the answer in progress goes on."""
        with self._changed:
            self._stopped = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for job in dropped:
            job.post_end(stopping())

    def cancel_running(self) -> None:
        """End the answer in progress within a token."""
        self._session.cancel()

    def stop(self, seconds: float = 10.0) -> bool:
        """End the answer in progress and the thread; whether it did end: native code may be long about it."""
        self.stop_accepting()
        end = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < end:
            self._session.cancel()
            self._thread.join(0.05)
        return not self._thread.is_alive()

    def _interrupt(self, job: Job) -> None:
        with self._changed:
            if job is self._current:
                self._session.cancel()
            elif job in self._waiting:
                self._waiting.remove(job)
                job.post_end(client_left())

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                job = self._current = self._waiting.popleft()
            began = time.monotonic()
            result: Answer | BaseException
            try:
                job.post_started()
                result = self._answer(job)
                self._mean_seconds += 0.2 * (time.monotonic() - began - self._mean_seconds)
            except PocketVLError as failure:
                result = failure
            except BaseException as failure:  # the next request is to be answered all the same
                log.exception("A request failed")
                result = failure
            finally:
                self._session.reset()  # what it held, and the images with it
                with self._changed:
                    self._current = None  # before the client knows, and asks again
            job.post_end(result)
            del job, result

    def _answer(self, job: Job) -> Answer:
        with closing(self._session.stream(job.messages, **job.options)) as stream:
            for piece in stream:
                job.post_text(piece)
                if job.cancelled:
                    self._session.cancel()
            return stream.answer
