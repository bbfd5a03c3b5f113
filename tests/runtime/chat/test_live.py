"""A live view: the newest frame alone, encoded while answers are made."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.live import LiveView
from pocketvl.runtime.chat.live_turns import kept_frames
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine, Float32, VisionEngine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ImageError, UsageError

WAIT = 30.0  # seconds, of which none passes unless something is broken


class Gate:
    """A VisionEngine that encodes only while it is open."""

    def __init__(self, engine: VisionEngine) -> None:
        self._engine = engine
        self.open, self.entered = threading.Event(), threading.Semaphore(0)
        self.at_once = self.most = 0

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.entered.release()
        assert self.open.wait(WAIT)
        self.at_once -= 1
        return self._engine.encode(patches, rope_cos, rope_sin)

    def release(self) -> None:
        self._engine.release()


@pytest.fixture(scope="module")
def engine(small_onnx_bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(small_onnx_bundle, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def gate(engine: Engine) -> Gate:
    gate = Gate(engine.vision)
    gate.open.set()
    return gate


@pytest.fixture
def session(small_onnx_bundle: Bundle, engine: Engine, gate: Gate) -> ChatSession:
    engine.text.close()
    return ChatSession(small_onnx_bundle, Engine(gate, engine.text), keep_vision=True)


def frame(level: int) -> np.ndarray:
    return np.full((84, 84, 3), level, np.uint8)


def test_a_question_is_about_the_newest_frame(session: ChatSession) -> None:
    with LiveView(session) as view:
        view.see(frame(10))
        first = view.ask("What?", max_tokens=3)
        view.see(frame(200))
        assert view.wait_for_change(WAIT)
        second = view.ask("And now?", max_tokens=3)
        assert (first.statistics.images_encoded, second.statistics.images_encoded) == (0, 0)
        pad = session._manifest.special_tokens.image_pad
        assert second.prompt_token_ids.count(pad) == first.prompt_token_ids.count(pad) == 9
        assert [message.role for message in session.conversation.messages] == ["user", "assistant"] * 2
        said = session.conversation.messages[1].parts[0].text
    last = [{"type": "image", "image": frame(200)}, {"type": "text", "text": "And now?"}]
    messages = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": said},
        {"role": "user", "content": last},
    ]
    assert session.ask(messages, max_tokens=3).token_ids == second.token_ids


def test_a_frame_that_shows_nothing_else_is_not_encoded(session: ChatSession) -> None:
    with LiveView(session) as view:
        view.see(frame(100))
        first = view.ask("What?", max_tokens=3)
        for level in (104, 97, 100):
            view.see(frame(level))
            settle(view, lambda: view._waiting is None and not view._is_busy)
        assert not view.wait_for_change(0)
        second = view.ask("And?", max_tokens=3)
        assert (view.counts.encoded, view.counts.unchanged) == (1, 3)
        begins = first.prompt_token_ids
        assert second.prompt_token_ids[: len(begins)] == begins  # its image is there already
        assert second.statistics.reused_tokens >= len(begins)


def settle(view: LiveView, reached: Callable[[], bool]) -> None:
    with view._condition:
        assert view._condition.wait_for(reached, WAIT)


def test_the_newest_frame_alone_waits_and_one_is_encoded_at_a_time(session: ChatSession, gate: Gate) -> None:
    gate.open.clear()
    with LiveView(session) as view:
        view.see(frame(0))
        assert gate.entered.acquire(timeout=WAIT)
        for level in range(20, 220, 20):
            view.see(frame(level))
        assert view.counts.replaced == 9
        gate.open.set()
        settle(view, lambda: view.counts.encoded == 2)
        assert (view.counts.given, view.counts.unchanged, gate.most) == (11, 0, 1)


def test_a_frame_is_encoded_while_an_answer_is_made(session: ChatSession, gate: Gate) -> None:
    encoded_meanwhile = []
    with LiveView(session) as view:
        view.see(frame(10))

        def on_text(_piece: str) -> None:
            if not encoded_meanwhile:
                view.see(frame(200))
                settle(view, lambda: view.counts.encoded == 2)
                encoded_meanwhile.append(True)

        answer = view.ask("What?", max_tokens=20, on_text=on_text)
        assert encoded_meanwhile
        assert len(answer.token_ids) > 1
        assert view.wait_for_change(0)


def test_a_frame_may_be_changed_after_it_was_given(session: ChatSession, gate: Gate) -> None:
    gate.open.clear()
    buffer = frame(10)
    with LiveView(session) as view:
        view.see(buffer)
        buffer[:] = 200
        gate.open.set()
        assert view.wait_for_change(WAIT)
        view.see(frame(10))
        settle(view, lambda: view.counts.unchanged == 1)


def test_old_frames_leave_and_their_words_stay(session: ChatSession) -> None:
    pad = session._manifest.special_tokens.image_pad
    with LiveView(session, max_frames=2) as view:
        counts = []
        for number, level in enumerate((10, 60, 110, 160)):
            view.see(frame(level))
            assert view.wait_for_change(WAIT)
            answer = view.ask(f"Now {number}?", max_tokens=2)
            counts.append(answer.prompt_token_ids.count(pad))
        assert counts == [9, 18, 18, 18]
        assert len(session.conversation.messages) == 8
        assert len(session.conversation.feed.media) == 2


def test_the_oldest_turns_leave_a_full_context(session: ChatSession) -> None:
    with LiveView(session) as view:
        view.see(frame(10))
        turns = []
        for _ in range(12):
            answer = view.ask("What is there to be seen, and is there more than before?", max_tokens=40)
            assert answer.stop_reason != "context"
            turns.append(len(session.conversation.messages) // 2)
            assert len(session.conversation.feed.media) == 1
        assert 1 < max(turns) < 12
        assert turns[-1] < 12


def test_no_more_turns_stay_than_are_wanted(session: ChatSession) -> None:
    with LiveView(session, max_turns=1) as view:
        view.see(frame(10))
        for _ in range(3):
            view.ask("What?", max_tokens=2)
        assert len(session.conversation.messages) == 4
    with LiveView(session, max_turns=0) as view:
        view.see(frame(10))
        for _ in range(2):
            answer = view.ask("What?", max_tokens=2)
        assert len(session.conversation.messages) == 2
        assert answer.statistics.prefill_tokens == 1


def test_a_bad_frame_is_told_once(session: ChatSession) -> None:
    with LiveView(session) as view:
        view.see(b"no image")
        with pytest.raises(ImageError):
            view.ask("What?")
        view.see(frame(10))
        assert view.ask("What?", max_tokens=1).token_ids
        view.see("nowhere.jpg")
        with pytest.raises(ImageError, match="does not exist"):
            view.wait_for_change(WAIT)
        assert view.ask("And?", max_tokens=1).token_ids


def test_what_cannot_be_meant_is_refused(session: ChatSession) -> None:
    for wrong in ({"max_frames": 0}, {"max_turns": -1}):
        with pytest.raises(UsageError, match="at least 1"):
            LiveView(session, **wrong)
    view = LiveView(session)
    with pytest.raises(UsageError, match="call see"):
        view.ask("What?")
    view.close()
    assert not view.wait_for_change()
    with pytest.raises(UsageError, match="is closed"):
        view.see(frame(1))
    assert not view._thread.is_alive()


def test_a_cancelled_question_leaves_the_turns_before(session: ChatSession) -> None:
    with LiveView(session) as view:
        view.see(frame(10))
        view.ask("What?", max_tokens=2)
        answer = view.ask("And?", max_tokens=50, on_text=lambda _: view.cancel())
        assert answer.stop_reason == "cancelled"
        assert view.ask("More?", max_tokens=2).token_ids
        assert len(session.conversation.messages) == 6


@pytest.mark.parametrize(
    ("frames", "most", "kept"),
    [
        ("", 1, []),
        ("a", 1, [True]),
        ("aaa", 1, [True, False, False]),
        ("ab", 1, [False, True]),
        ("ab", 2, [True, True]),
        ("aabbc", 2, [False, False, True, False, True]),
        ("aba", 1, [False, False, True]),
        ("aba", 9, [True, True, True]),
    ],
)
def test_which_frames_stay(frames: str, most: int, kept: list[bool]) -> None:
    assert kept_frames(list(frames), most) == kept
