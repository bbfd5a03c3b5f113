"""Sessions that share an engine: no conversation goes on over keys and values that are not its own."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines import open_engine
from pocketvl.runtime.errors import ContextError, EngineError, UsageError
from pocketvl.runtime.onnx_engine import OnnxEngine
from pocketvl.runtime.session import ChatSession


@pytest.fixture(scope="module", params=["small_bundle", "small_onnx_bundle"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(bundle, threads=1)
    yield engine
    engine.close()


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8))


def about(*seeds: int) -> list[dict[str, object]]:
    return [*({"type": "image", "image": picture(seed)} for seed in seeds), {"type": "text", "text": "What?"}]


def test_a_conversation_that_another_one_overwrote_is_refused(bundle: Bundle, engine: Engine) -> None:
    first, second = ChatSession(bundle, engine), ChatSession(bundle, engine)
    opening = first.ask(about(1), max_tokens=4)
    second.ask(about(2), max_tokens=4)
    with pytest.raises(UsageError, match="another session"):
        first.ask("And now?")
    assert second.ask("And now?", max_tokens=2).token_ids  # not disturbed by what was refused
    first.reset()
    assert first.ask(about(1), max_tokens=4).token_ids == opening.token_ids


def test_a_turn_that_never_reached_the_engine_disturbs_nobody(bundle: Bundle, engine: Engine) -> None:
    first, second = ChatSession(bundle, engine), ChatSession(bundle, engine)
    first.ask(about(1), max_tokens=4)
    with pytest.raises(ContextError):
        second.ask("long " * 400)
    assert first.ask("And now?", max_tokens=2).token_ids


def test_a_closed_conversation_is_refused(bundle: Bundle, engine: Engine) -> None:
    session = ChatSession(bundle, engine)
    opening = session.ask(about(3), max_tokens=4)
    session.close()
    with pytest.raises(UsageError, match="was closed"):
        session.ask("And now?")
    session.reset()
    assert session.ask(about(3), max_tokens=4).token_ids == opening.token_ids


def test_one_session_answers_at_a_time(bundle: Bundle, engine: Engine) -> None:
    first, second = ChatSession(bundle, engine), ChatSession(bundle, engine)
    started, release = threading.Event(), threading.Event()

    def hold(_piece: str) -> None:
        started.set()
        release.wait(10)

    thread = threading.Thread(target=lambda: first.ask("one two", max_tokens=20, on_text=hold))
    thread.start()
    try:
        assert started.wait(10)
        asked = (lambda: first.ask("three"), lambda: second.ask("three"))
        for refused in (*asked, first.close, second.close):
            with pytest.raises(UsageError, match="answering already"):
                refused()
    finally:
        release.set()
        thread.join()
    assert second.ask("three", max_tokens=2).token_ids


class FailsAtTheSecondPicture(OnnxEngine):
    encoded = released = 0

    def encode_image(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        self.encoded += 1
        if self.encoded == 2:
            raise EngineError("no memory")
        return super().encode_image(patches, rope_cos, rope_sin)

    def release_vision(self) -> None:
        self.released += 1
        super().release_vision()


def test_the_encoder_is_released_when_a_picture_fails(small_onnx_bundle: Bundle) -> None:
    engine = FailsAtTheSecondPicture(small_onnx_bundle, threads=1)
    session = ChatSession(small_onnx_bundle, engine)
    with pytest.raises(EngineError, match="no memory"):
        session.ask(about(4, 5))
    assert engine.released == 1
    engine.close()
