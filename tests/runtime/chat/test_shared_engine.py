"""Sessions that share an engine: no conversation goes on over keys and values that are not its own."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine, Float32, VisionEngine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ContextError, EngineError, UsageError
from pocketvl.runtime.positions import vision_rope


@pytest.fixture(scope="module", params=["small_bundle", "small_onnx_bundle"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(bundle, threads=1)
    yield engine
    engine.close()


def image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8))


def about(*seeds: int) -> list[dict[str, object]]:
    return [*({"type": "image", "image": image(seed)} for seed in seeds), {"type": "text", "text": "What?"}]


def test_a_conversation_that_another_one_overwrote_is_fed_again(bundle: Bundle, engine: Engine) -> None:
    alone = ChatSession(bundle, engine)
    expected = [alone.ask(about(1), max_tokens=4), alone.ask("And now?", max_tokens=4)]
    first, second = ChatSession(bundle, engine), ChatSession(bundle, engine)
    opening = first.ask(about(1), max_tokens=4)
    second.ask(about(2), max_tokens=4)  # an image of the same size: equal token ids, other keys and values
    following = first.ask("And now?", max_tokens=4)
    assert [opening.token_ids, following.token_ids] == [answer.token_ids for answer in expected]
    assert following.statistics.prefill_tokens > expected[1].statistics.prefill_tokens
    assert following.statistics.images_encoded == 0


def test_a_turn_that_never_reached_the_engine_disturbs_nobody(bundle: Bundle, engine: Engine) -> None:
    first, second = ChatSession(bundle, engine), ChatSession(bundle, engine)
    first.ask(about(1), max_tokens=4)
    with pytest.raises(ContextError):
        second.ask("long " * 400)
    assert first.ask("And now?", max_tokens=2).token_ids


def test_a_closed_conversation_goes_on(bundle: Bundle, engine: Engine) -> None:
    session = ChatSession(bundle, engine)
    session.ask(about(3), max_tokens=4)
    kept = session.conversation
    expected = session.ask("And now?", max_tokens=4).token_ids
    session.conversation = kept
    session.close()
    answer = session.ask("And now?", max_tokens=4)
    assert answer.token_ids == expected
    assert answer.statistics.images_encoded == 0


def test_a_fork_is_a_reference(bundle: Bundle, engine: Engine) -> None:
    """Two questions that follow one conversation share its slots and not each other's."""
    session = ChatSession(bundle, engine)
    session.ask(about(3), max_tokens=4)
    fork = session.conversation
    first = session.ask("And now?", max_tokens=4)
    session.conversation = fork
    session.ask("Where?", max_tokens=4)
    session.conversation = fork
    again = session.ask("And now?", max_tokens=4)
    assert again.token_ids == first.token_ids
    assert again.statistics.prefill_tokens < len(fork.feed)  # only what differs was fed


def test_an_answer_is_made_anew(bundle: Bundle, engine: Engine) -> None:
    session = ChatSession(bundle, engine)
    start = session.conversation
    session.ask("one two", max_tokens=4)
    middle = session.conversation
    first = session.ask(about(3), max_tokens=4)
    assert session.conversation.before is middle
    assert middle.before is start
    session.conversation = middle
    again = session.ask(about(3), max_tokens=4)
    assert again.token_ids == first.token_ids
    assert (again.statistics.images_encoded, again.statistics.prefill_tokens) == (0, 1)


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


def test_an_image_is_encoded_while_an_answer_is_made(bundle: Bundle, engine: Engine) -> None:
    vision = bundle.manifest.geometry.vision
    patches = np.random.default_rng(0).standard_normal((64, vision.patch_dim), np.float32)
    inputs = (patches, *vision_rope(8, 8, vision))
    alone = engine.vision.encode(*inputs)
    session = ChatSession(bundle, engine)
    expected = session.ask("one two", max_tokens=60).token_ids
    session.reset()
    pieces = iter(stream := session.stream("one two", max_tokens=60))
    next(pieces)
    with ThreadPoolExecutor(max_workers=1) as pool:
        encoded = [pool.submit(engine.vision.encode, *inputs) for _ in range(3)]
        list(pieces)
    for one in encoded:
        np.testing.assert_array_equal(one.result(), alone)
    assert stream.answer.token_ids == expected


class FailsAtTheSecondImage:
    """A VisionEngine that runs out of memory."""

    def __init__(self, engine: VisionEngine) -> None:
        self._engine = engine
        self.encoded = self.released = 0

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        self.encoded += 1
        if self.encoded == 2:
            raise EngineError("no memory")
        return self._engine.encode(patches, rope_cos, rope_sin)

    def release(self) -> None:
        self.released += 1
        self._engine.release()


def test_the_encoder_is_released_when_an_image_fails(small_onnx_bundle: Bundle) -> None:
    engine = open_engine(small_onnx_bundle, threads=1)
    vision = FailsAtTheSecondImage(engine.vision)
    session = ChatSession(small_onnx_bundle, Engine(vision, engine.text))
    with pytest.raises(EngineError, match="no memory"):
        session.ask(about(4, 5))
    assert vision.released == 1
    engine.close()
