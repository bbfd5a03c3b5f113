"""A camera's newest frame, encoded while answers are made, for a session that is asked about it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np
from PIL import Image

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.live_turns import LiveTurn, as_messages, with_frames
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, AnswerOptions
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.change import CHANGED, Thumbnail, has_changed, thumbnail
from pocketvl.runtime.media.encoder import EncodedImage
from pocketvl.runtime.media.image import load_image


@dataclass
class FrameCounts:
    """given: by see(). replaced: by a newer one before the encoder was free. unchanged: too like the last
    that was encoded."""

    given: int = 0
    replaced: int = 0
    unchanged: int = 0
    encoded: int = 0


class LiveView:
    """Sees frames from one thread and answers in another.

        with LiveView(model.chat(keep_vision=True)) as view:
            camera.on_frame(view.see)
            while view.wait_for_change():
                print(view.ask("What do you see?").text)

    A question is about the newest frame that was encoded by then: the first question about a frame has it as
    an image before its text. At most max_frames frames stay in the conversation, so that its memory has a
    bound: older ones leave it, their questions and answers stay; when the context is full, the oldest turns
    leave, too. What follows a frame that left is fed again, from kept embeddings. The session's conversation
    is the view's own meanwhile. Give a session with keep_vision, or the encoder is loaded for each frame.
    """

    def __init__(
        self,
        session: ChatSession,
        *,
        max_frames: int = 1,
        max_turns: int | None = None,
        least_change: int = CHANGED,
    ) -> None:
        """max_turns: earlier ones that stay; None for as many as the context holds. least_change: the
        difference in levels that makes a frame another one, see media/change.py; 0 encodes them all.

        Raises UsageError.
        """
        if max_frames < 1 or (max_turns is not None and max_turns < 0):
            raise UsageError("max_frames must be at least 1, and max_turns not negative.")
        self._session = session
        self._max_frames = max_frames
        self._max_turns = session.max_context if max_turns is None else max_turns
        self._least_change = least_change
        self._turns: tuple[LiveTurn, ...] = ()
        self._condition = threading.Condition()  # guards all that follows
        self.counts = FrameCounts()
        self._waiting: Any = None
        self._seen: EncodedImage | None = None
        self._is_new = False
        self._is_busy = False
        self._is_closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="live view", daemon=True)
        self._thread.start()

    def see(self, frame: Any) -> None:
        """Take a frame, which is what an image part takes, and return at once; from any thread.

        It waits for the frame that is being encoded, and is dropped if another one comes meanwhile. Arrays
        and Pillow images are copied. What is wrong with it is raised by the next ask or wait_for_change.
        """
        if isinstance(frame, np.ndarray | Image.Image):
            frame = frame.copy()
        with self._condition:
            if self._is_closed:
                raise UsageError("This live view is closed; make a new one.")
            self.counts.given += 1
            self.counts.replaced += self._waiting is not None
            self._waiting = frame
            self._condition.notify_all()

    def wait_for_change(self, timeout: float | None = None) -> bool:
        """Until a frame is encoded that no question was about; False after `timeout` seconds or once closed.

        Raises what encoding the newest frame raised.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._is_new or self._failure or self._is_closed, timeout)
            self._raise_failure()
            return self._is_new and not self._is_closed

    @property
    def is_idle(self) -> bool:
        """Whether no frame waits or is being encoded."""
        with self._condition:
            return self._waiting is None and not self._is_busy

    def ask(
        self, question: str, *, on_text: Callable[[str], None] | None = None, **options: Unpack[AnswerOptions]
    ) -> Answer:
        """About the newest frame that is encoded; waits for the first one. Options as of ChatSession.ask.

        Raises what encoding the newest frame raised, UsageError where none was given, and what
        ChatSession.ask raises.
        """
        frame = self._newest()
        turns = self._fitting(frame, question, options.get("max_tokens", DEFAULT_MAX_TOKENS))
        answer = self._session.ask(as_messages(turns), on_text=on_text, **options)
        if answer.token_ids:
            self._turns = (*turns[:-1], turns[-1].answered(answer.text))
        return answer

    def cancel(self) -> None:
        """Stop the answer in progress, from any thread."""
        self._session.cancel()

    def close(self) -> None:
        """Take no more frames; waits for the one that is being encoded. The session stays open."""
        with self._condition:
            self._is_closed = True
            self._waiting = None
            self._condition.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _newest(self) -> EncodedImage:
        with self._condition:
            if self._seen is None and self._waiting is None and not self._is_busy and not self._failure:
                raise UsageError("No frame was seen yet; call see() first.")
            self._condition.wait_for(lambda: self._seen or self._failure or self._is_closed)
            self._raise_failure()
            if self._seen is None:
                raise UsageError("This live view was closed before its first frame was encoded.")
            self._is_new = False
            return self._seen

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _fitting(self, frame: EncodedImage, question: str, max_tokens: int) -> tuple[LiveTurn, ...]:
        """The turns so far and the new one, as many as leave room for an answer."""
        earlier = self._turns[max(0, len(self._turns) - self._max_turns) :]
        turns = with_frames((*earlier, LiveTurn(question, frame)), self._max_frames)
        while len(turns) > 1:
            needed = self._session.count_tokens(as_messages(turns)) + max_tokens
            if needed <= self._session.max_context:
                break
            turns = with_frames(turns[1:], self._max_frames)
        return turns

    def _work(self) -> None:
        previous: Thumbnail | None = None
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting is not None or self._is_closed)
                if self._is_closed:
                    return
                frame, self._waiting, self._is_busy = self._waiting, None, True
            encoded, failure = None, None
            try:
                image = load_image(frame)
                small = thumbnail(np.asarray(image))
                if previous is None or has_changed(previous, small, self._least_change):
                    encoded, previous = self._session.encode_image(image), small
            except Exception as error:  # raised where the frame is asked about
                failure = error
            with self._condition:
                self._is_busy, self._failure = False, failure
                if encoded is not None:
                    self._seen, self._is_new = encoded, True
                    self.counts.encoded += 1
                self.counts.unchanged += encoded is None and failure is None
                self._condition.notify_all()
