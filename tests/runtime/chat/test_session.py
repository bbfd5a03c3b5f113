"""ChatSession on a real bundle: state between turns, caches, limits, failures."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime import Model, load
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.repetition import MIN_TOKENS
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.executorch import open_executorch
from pocketvl.runtime.errors import (
    ContextError,
    UsageError,
)
from pocketvl.runtime.positions import mrope_positions, vision_rope
from pocketvl.runtime.text.answer_text import Box
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.support.sampling import Scripted
from tests.support.tokenizers import TOKENS


@pytest.fixture(scope="module")
def bundle(small_bundle: Bundle) -> Bundle:
    return small_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_executorch(bundle, 1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Iterator[Model]:
    with load(bundle.folder, threads=1) as model:
        yield model


@pytest.fixture
def session(model: Model) -> ChatSession:
    return model.chat()


def image(seed: int = 0, width: int = 84, height: int = 112) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def about(image: Image.Image, text: str = "What is this?") -> list[dict[str, object]]:
    return [{"type": "image", "image": image}, {"type": "text", "text": text}]


class Stubborn(Sampler):
    """Always says the same token."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self._token = token

    def sample(self, logits: object, seen: object = (), never: object = None) -> int:
        return self._token


def test_position_goes_on_at_the_largest_id_not_at_the_slot(session: ChatSession, bundle: Bundle) -> None:
    answer = session.ask(about(image()), max_tokens=5)
    whole = [*answer.prompt_token_ids, *answer.token_ids]
    _, expected = mrope_positions(whole, [(1, 8, 6)], bundle.manifest.special_tokens, 2)
    assert answer.next_position == expected
    assert expected < len(whole)  # 12 image tokens moved it on by 4


def test_second_turn_continues_the_first(session: ChatSession) -> None:
    first = session.ask(about(image()), max_tokens=5)
    second = session.ask("And now?", max_tokens=5)
    kept = first.token_ids[:-1] if first.stop_reason == "stop" else first.token_ids
    assert second.prompt_token_ids[: len(first.prompt_token_ids) + len(kept)] == (
        *first.prompt_token_ids,
        *kept,
    )
    assert second.statistics.prefill_tokens < len(second.prompt_token_ids) - len(first.prompt_token_ids)
    assert second.next_position > first.next_position


def test_a_turn_on_the_cache_equals_the_same_turn_from_scratch(model: Model, session: ChatSession) -> None:
    other = model.chat()
    other.ask(about(image(9), "Something else entirely"), max_tokens=7)  # dirties the KV cache
    other.reset()
    questions = (about(image(1)), "And now?", about(image(2), "And this?"))
    fresh = [session.ask(question, max_tokens=6).token_ids for question in questions]
    again = [other.ask(question, max_tokens=6).token_ids for question in questions]
    assert again == fresh


def test_an_image_is_encoded_once(session: ChatSession) -> None:
    first = session.ask(about(image()), max_tokens=2)
    second = session.ask(about(image()), max_tokens=2)
    session.reset()
    third = session.ask([*about(image()), *about(image(1))], max_tokens=2)
    counts = [(a.statistics.images_encoded, a.statistics.images_cached) for a in (first, second, third)]
    assert counts == [(1, 0), (0, 1), (1, 1)]


def test_outputs_of_the_engine_survive_the_next_call(bundle: Bundle, engine: Engine) -> None:
    """Outputs that alias the encoder's buffer would turn the first image into the second."""
    vision = bundle.manifest.geometry.vision
    cos, sin = vision_rope(4, 4, vision)
    first, second = np.random.default_rng(0).standard_normal((2, 16, vision.patch_dim), np.float32)
    embeddings = engine.vision.encode(first, cos, sin)
    before = embeddings.copy()
    other = engine.vision.encode(second, cos, sin)
    assert np.array_equal(embeddings, before)
    assert not np.allclose(embeddings, other)


def test_streamed_text_is_the_answer(session: ChatSession) -> None:
    pieces: list[str] = []
    answer = session.ask(about(image()), max_tokens=40, on_text=pieces.append)
    assert "".join(pieces) == answer.text
    assert len(pieces) > 1


def test_max_tokens_cuts_and_the_next_turn_closes_the_answer(session: ChatSession, bundle: Bundle) -> None:
    first = session.ask("What does the sign say?", max_tokens=3)
    assert (len(first.token_ids), first.stop_reason) == (3, "length")
    second = session.ask("And now?", max_tokens=1)
    closing = second.prompt_token_ids[len(first.prompt_token_ids) + 3]
    assert closing == bundle.manifest.special_tokens.im_end


def test_an_answer_stops_where_the_context_ends(bundle: Bundle, model: Model) -> None:
    session = model.chat(stop_repetition=False)
    answer = session.ask("the quick brown fox", max_tokens=1000, sampler=Stubborn(65))
    assert answer.stop_reason == "context"
    assert len(answer.prompt_token_ids) + len(answer.token_ids) == bundle.manifest.max_context + 1
    with pytest.raises(ContextError, match="earlier turns"):
        session.ask("And now?")
    session.reset()
    assert session.ask("And now?", max_tokens=1).token_ids


def test_an_answer_that_repeats_itself_is_ended(session: ChatSession) -> None:
    answer = session.ask("the quick brown fox", max_tokens=200, sampler=Stubborn(65))
    assert (answer.stop_reason, len(answer.token_ids)) == ("repetition", MIN_TOKENS)
    following = session.ask("And now?", max_tokens=2)
    begins = (*answer.prompt_token_ids, *answer.token_ids)
    assert following.prompt_token_ids[: len(begins)] == begins


def test_a_whole_conversation_takes_the_place_of_the_one_before(session: ChatSession) -> None:
    turns = [about(image()), "Say more."]
    answers = [session.ask(turn, max_tokens=4, sampler=Stubborn(65)) for turn in turns]
    messages: list[dict[str, object]] = []
    for turn, answer in zip(turns, answers, strict=True):
        messages.append({"role": "user", "content": turn})
        whole = session.ask(messages, max_tokens=4, sampler=Stubborn(65))
        assert whole.prompt_token_ids == answer.prompt_token_ids
        assert whole.statistics.images_cached == 1
        messages.append({"role": "assistant", "content": answer.text})
    assert session.next_position == whole.next_position
    assert session.ask("And now?", max_tokens=1).prompt_token_ids[: len(whole.prompt_token_ids)] == (
        whole.prompt_token_ids
    )


def test_a_system_message_takes_the_place_of_the_sessions(model: Model) -> None:
    mine = {"role": "system", "content": "Be brief."}
    user = {"role": "user", "content": "Hi"}
    with_mine = model.chat(system="Be brief.").ask([user], max_tokens=1)
    other = model.chat(system="Be long.").ask([mine, user], max_tokens=1)
    assert other.prompt_token_ids == with_mine.prompt_token_ids


def test_an_image_gets_the_size_that_its_message_asks_for(session: ChatSession, bundle: Bundle) -> None:
    pad = bundle.manifest.special_tokens.image_pad

    def tokens(**size: object) -> int:
        session.reset()
        part = {"type": "image", "image": image(0, 168, 112), **size}
        return session.ask([part], max_tokens=1).prompt_token_ids.count(pad)

    assert tokens() == 24
    assert tokens(max_pixels=84 * 56) == 6
    assert tokens(resized_height=56, resized_width=60) == 4
    assert tokens(detail="low") <= bundle.manifest.buckets[0] // 4


def test_boxes_of_an_answer_are_in_pixels_of_the_image(session: ChatSession, bundle: Bundle) -> None:
    tokenizer = Tokenizer(bundle.path("tokenizer.json"))
    said = "<|object_ref_start|>sign<|object_ref_end|><|box_start|>(100,500),(500,1000)<|box_end|><|im_end|>"
    pieces: list[str] = []
    answer = session.ask(
        [*about(image(0, 84, 112)), {"type": "box", "pixels": [0, 0, 42, 56]}],
        sampler=Scripted(tokenizer.encode_template(said)),
        on_text=pieces.append,
    )
    assert answer.text == "".join(pieces) == "sign (100,500),(500,1000)"
    assert answer.boxes == (Box("sign", 0, 8.4, 56.0, 42.0, 112.0),)
    assert "<|box_start|>(0,0),(500,500)<|box_end|>" in tokenizer.decode(answer.prompt_token_ids, False)


def test_rows_without_a_token_are_never_said(session: ChatSession, bundle: Bundle) -> None:
    assert bundle.manifest.geometry.text.vocab_size > TOKENS
    hot = Sampler(temperature=1e9, seed=0)
    answer = session.ask("What is this?", max_tokens=100, sampler=hot)
    assert max(answer.token_ids) < TOKENS


def test_cancel_stops_the_answer_and_keeps_what_was_said(session: ChatSession) -> None:
    answer = session.ask(about(image()), max_tokens=200, on_text=lambda _: session.cancel())
    assert answer.stop_reason == "cancelled"
    assert len(answer.token_ids) < 200
    following = session.ask("And now?", max_tokens=2)
    assert following.prompt_token_ids[: len(answer.prompt_token_ids)] == answer.prompt_token_ids


def test_seeded_sampling_repeats(session: ChatSession) -> None:
    def draw(seed: int) -> tuple[int, ...]:
        session.reset()
        sampler = Sampler(temperature=5.0, seed=seed)
        return session.ask("What is this?", max_tokens=12, sampler=sampler).token_ids

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_vision_is_loaded_again_after_release(bundle: Bundle, engine: Engine) -> None:
    released = ChatSession(bundle, engine)
    first = released.ask(about(image(6)), max_tokens=4).token_ids
    engine.vision.release()
    kept = ChatSession(bundle, engine, keep_vision=True)
    assert kept.ask(about(image(6)), max_tokens=4).token_ids == first


def test_a_generated_placeholder_is_a_token_like_any_other(session: ChatSession, bundle: Bundle) -> None:
    pad = bundle.manifest.special_tokens.image_pad
    first = session.ask(about(image()), max_tokens=3, sampler=Stubborn(pad))
    assert first.token_ids == (pad, pad, pad)
    second = session.ask(about(image(1)), max_tokens=2)
    assert second.next_position > first.next_position


def test_pieces_of_an_answer_come_while_it_is_made(session: ChatSession) -> None:
    start = session.conversation
    stream = session.stream("What is this?", images=[image()], max_tokens=20)
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == stream.answer.text
    assert session.conversation.before is start


def test_an_answer_that_nobody_reads_on_is_forgotten(session: ChatSession) -> None:
    start = session.conversation
    stream = session.stream("What is this?", images=[image()], max_tokens=200)
    pieces = iter(stream)
    next(pieces)
    with pytest.raises(UsageError, match="answering already"):
        session.ask("And this?")
    stream.close()
    assert session.conversation is start
    with pytest.raises(UsageError, match="stopped before its end"):
        _ = stream.answer
    assert session.ask("And this?", max_tokens=1).token_ids
