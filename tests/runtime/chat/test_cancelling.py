"""cancel() takes effect at the next token, chunk or image, whatever is being done."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine, Float32, TextEngine, VisionEngine
from pocketvl.runtime.engines.open import open_engine

CHUNK = 32  # of the bundles


class CancelsAt:
    """Engines that have their session cancelled during the call of a number, from another thread."""

    def __init__(self, engine: Engine, call: int) -> None:
        self.vision, self.text = _Vision(engine.vision, self), _Text(engine.text, self)
        self.session: ChatSession | None = None
        self.calls, self._call = 0, call

    def called(self) -> None:
        self.calls += 1
        if self.calls == self._call and self.session is not None:
            thread = threading.Thread(target=self.session.cancel)
            thread.start()
            thread.join()


class _Vision:
    def __init__(self, engine: VisionEngine, owner: CancelsAt) -> None:
        self._engine, self._owner = engine, owner

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        self._owner.called()
        return self._engine.encode(patches, rope_cos, rope_sin)

    def release(self) -> None:
        self._engine.release()


class _Text:
    def __init__(self, engine: TextEngine, owner: CancelsAt) -> None:
        self._engine, self._owner = engine, owner
        self.cache, self.logits, self.close = engine.cache, engine.logits, engine.close

    def decode(self, embeddings: Float32, cos: Float32, sin: Float32, cache_position: int) -> Float32:
        self._owner.called()
        return self._engine.decode(embeddings, cos, sin, cache_position)


@pytest.fixture(scope="module")
def engine(small_onnx_bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(small_onnx_bundle, threads=1)
    yield engine
    engine.close()


def cancelled_at(bundle: Bundle, engine: Engine, call: int) -> tuple[ChatSession, CancelsAt]:
    engine.text.cache.truncate(0)
    cancels = CancelsAt(engine, call)
    session = ChatSession(bundle, Engine(cancels.vision, cancels.text))
    cancels.session = session
    return session, cancels


def about(*seeds: int) -> list[dict[str, object]]:
    random = [np.random.default_rng(seed) for seed in seeds]
    images = [Image.fromarray(each.integers(0, 256, (84, 84, 3), dtype=np.uint8)) for each in random]
    return [*({"type": "image", "image": image} for image in images), {"type": "text", "text": "What?"}]


def test_during_vision_no_further_image_is_encoded(small_onnx_bundle: Bundle, engine: Engine) -> None:
    session, cancels = cancelled_at(small_onnx_bundle, engine, 2)
    before = session.conversation
    answer = session.ask(about(1, 2, 3), max_tokens=9)
    assert (answer.stop_reason, answer.token_ids, cancels.calls) == ("cancelled", (), 2)
    assert (answer.statistics.images_encoded, answer.statistics.prefill_tokens) == (2, 0)
    assert session.conversation is before
    again = session.ask(about(1, 2, 3), max_tokens=2)
    assert (again.statistics.images_encoded, again.statistics.images_cached) == (1, 2)
    assert again.prompt_token_ids == answer.prompt_token_ids


@pytest.mark.parametrize("chunk", [1, 2])
def test_during_prefill_no_further_chunk_is_fed(
    small_onnx_bundle: Bundle, engine: Engine, chunk: int
) -> None:
    session, cancels = cancelled_at(small_onnx_bundle, engine, chunk)
    before = session.conversation
    question = "many words that make a long question " * 4
    answer = session.ask(question, max_tokens=9)
    assert (answer.stop_reason, cancels.calls) == ("cancelled", chunk)
    assert len(answer.prompt_token_ids) > 3 * CHUNK
    assert answer.statistics.prefill_tokens == chunk * CHUNK
    assert session.conversation is before
    again = session.ask(question, max_tokens=2)  # what was fed is not fed again
    assert again.statistics.reused_tokens == chunk * CHUNK
    assert len(again.token_ids) == 2


def test_during_the_answer_no_further_token_is_made(small_onnx_bundle: Bundle, engine: Engine) -> None:
    session, cancels = cancelled_at(small_onnx_bundle, engine, 4)  # prefill, then a call a token
    answer = session.ask("Hi", max_tokens=50)
    prefill = -(-len(answer.prompt_token_ids) // CHUNK)
    assert answer.stop_reason == "cancelled"
    assert cancels.calls == 4
    assert len(answer.token_ids) == 4 - prefill + 1
    assert len(session.conversation.messages) == 2
