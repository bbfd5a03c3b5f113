"""A conversation that is changed keeps the slots of all that it still begins with."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import PromptError, UsageError
from tests.support.sampling import Scripted

Parts = list[dict[str, object]]


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(bundle, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def session(bundle: Bundle, engine: Engine) -> ChatSession:
    return ChatSession(bundle, engine)


def image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8))


def about(seed: int, text: str = "What?") -> Parts:
    return [{"type": "image", "image": image(seed)}, {"type": "text", "text": text}]


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def said(answer: Answer) -> dict[str, object]:
    return {"role": "assistant", "content": answer.text}


def last_logits(bundle: Bundle, engine: Engine, session: ChatSession) -> Float32:
    """Of the token that would follow the conversation, all of it fed anew."""
    table = EmbeddingMap(bundle.path(bundle.manifest.token_embedding.file), bundle.manifest.token_embedding)
    decoder = Decoder(engine.text, table, bundle.manifest)
    engine.text.cache.truncate(0)
    *_, hidden = decoder.feed(session.conversation.feed)
    return decoder.logits(hidden[-1:])


def fresh(bundle: Bundle, content: object, before: Conversation | None = None) -> Answer:
    """By an engine that has seen nothing else."""
    engine = open_engine(bundle, threads=1)
    try:
        session = ChatSession(bundle, engine)
        session.conversation = before or session.conversation
        return session.ask(content, max_tokens=6)
    finally:
        engine.close()


def test_statistics_count_what_was_reused(session: ChatSession) -> None:
    session.close()
    first = session.ask(about(1), max_tokens=4)
    assert first.statistics.reused_tokens == 0
    assert first.statistics.prefill_tokens == len(first.prompt_token_ids)
    second = session.ask("And now?", max_tokens=4)
    both = second.statistics.reused_tokens + second.statistics.prefill_tokens
    assert both == len(second.prompt_token_ids)
    assert second.statistics.reused_tokens >= len(first.prompt_token_ids) + 3


def test_messages_that_repeat_the_conversation_go_on_by_its_own_ids(session: ChatSession) -> None:
    """A text has many spellings in tokens, of which encoding gives one."""
    spelled = [72, 101, 108, 108, 111]
    first = session.ask(about(1), max_tokens=5, sampler=Scripted(spelled))
    messages = [user(about(1)), said(first), user("And now?")]
    second = session.ask(messages, max_tokens=3)
    assert second.prompt_token_ids[len(first.prompt_token_ids) :][:5] == first.token_ids
    assert second.statistics.reused_tokens >= len(first.prompt_token_ids) + 4
    assert second.statistics.images_encoded == 0
    # A text that was not the conversation's own is encoded.
    other = session.ask([user(about(1)), {"role": "assistant", "content": "other"}, user("And now?")])
    assert other.statistics.reused_tokens == len(first.prompt_token_ids)


def test_an_edited_question_keeps_all_before_it(session: ChatSession, bundle: Bundle) -> None:
    first = session.ask(about(1), max_tokens=4)
    kept = session.conversation
    session.ask("And now?", max_tokens=4)
    messages = [user(about(1)), said(first), user("Where is it?")]
    edited = session.ask(messages, max_tokens=6)
    assert edited.statistics.images_encoded == 0
    assert edited.statistics.reused_tokens > len(first.prompt_token_ids)
    assert edited.token_ids == fresh(bundle, "Where is it?", kept).token_ids
    assert len(session.conversation.messages) == 4


def test_an_edited_first_question_keeps_its_image(session: ChatSession, bundle: Bundle) -> None:
    first = session.ask(about(1, "What is this?"), max_tokens=4)
    pads = bundle.manifest.special_tokens.image_pad
    edited = session.ask([user(about(1, "Who is this?"))], max_tokens=6)
    after_image = max(i for i, token in enumerate(first.prompt_token_ids) if token == pads)
    assert edited.statistics.reused_tokens > after_image
    assert edited.token_ids == fresh(bundle, [user(about(1, "Who is this?"))]).token_ids


def test_another_image_of_that_size_is_fed(session: ChatSession, bundle: Bundle) -> None:
    first = session.ask(about(1), max_tokens=4)
    other = session.ask([user(about(2)), said(first), user("And now?")], max_tokens=6)
    pads = bundle.manifest.special_tokens.image_pad
    assert other.statistics.reused_tokens == first.prompt_token_ids.index(pads)
    assert other.token_ids == fresh(bundle, [user(about(2)), said(first), user("And now?")]).token_ids


def test_another_system_turn_keeps_the_common_tokens_alone(session: ChatSession, bundle: Bundle) -> None:
    system = {"role": "system", "content": "Be brief."}
    first = session.ask(about(1), max_tokens=4)
    other = session.ask([system, user(about(1))], max_tokens=6)
    pairs = zip(first.prompt_token_ids, other.prompt_token_ids, strict=False)
    common = next(i for i, (a, b) in enumerate(pairs) if a != b)
    assert other.statistics.reused_tokens == common < 10
    assert other.token_ids == fresh(bundle, [system, user(about(1))]).token_ids


def test_an_image_given_at_another_size_is_another(session: ChatSession) -> None:
    """Its pixels may become the same, but boxes are in pixels of what was given."""
    first = session.ask(about(1), max_tokens=4)
    larger = image(1).resize((168, 168), Image.Resampling.NEAREST)
    part = {"type": "image", "image": larger, "max_pixels": 84 * 84}
    session.ask([user([part, {"type": "text", "text": "What?"}]), said(first), user("Where?")], max_tokens=2)
    assert session.conversation.image_sizes == ((168, 168),)


def test_an_answer_is_made_anew_by_one_token(session: ChatSession) -> None:
    session.ask("one two", max_tokens=3)
    middle = session.conversation
    first = session.ask(about(3), max_tokens=6)
    again = session.regenerate(max_tokens=6)
    assert again.token_ids == first.token_ids
    assert again.prompt_token_ids == first.prompt_token_ids
    assert (again.statistics.images_encoded, again.statistics.prefill_tokens) == (0, 1)
    assert session.conversation.before is middle
    assert [message.role for message in session.conversation.messages] == ["user", "assistant"] * 2
    other = session.regenerate(max_tokens=2, sampler=Scripted([65, 66]))
    assert session.conversation.messages[-1].parts[0].text == other.text
    following = session.ask("And now?", max_tokens=2)
    assert following.prompt_token_ids[len(other.prompt_token_ids) :][:2] == (65, 66)


def test_there_must_be_an_answer_to_make_anew(session: ChatSession) -> None:
    with pytest.raises(UsageError, match="no answer to make anew"):
        session.regenerate()
    session.ask("one", max_tokens=1)
    with pytest.raises(UsageError, match="leave out images"):
        session.regenerate(images=[image(1)])


def test_logits_over_kept_slots_are_those_of_a_fresh_prefill(
    session: ChatSession, bundle: Bundle, engine: Engine
) -> None:
    first = session.ask(about(1), max_tokens=4)
    session.ask([user(about(1)), said(first), user(about(2, "Where?"))], max_tokens=4)
    session.conversation = session.conversation.before or session.conversation
    session.ask("And who?", max_tokens=4)
    held = engine.text.cache
    last = session.conversation.feed
    decoder = Decoder(
        engine.text,
        EmbeddingMap(bundle.path(bundle.manifest.token_embedding.file), bundle.manifest.token_embedding),
        bundle.manifest,
    )
    *_, hidden = decoder.feed(last, held.plan(last).kept)
    np.testing.assert_allclose(decoder.logits(hidden[-1:]), last_logits(bundle, engine, session), atol=1e-4)


def test_an_encoded_image_is_asked_about_without_the_encoder(session: ChatSession) -> None:
    expected = session.ask(about(5), max_tokens=5)
    session.reset()
    encoded = session.encode_image(image(5))
    assert encoded.source_size == (84, 84)
    answer = session.ask([{"type": "image", "image": encoded}, *about(5)[1:]], max_tokens=5)
    assert answer.token_ids == expected.token_ids
    assert (answer.statistics.images_encoded, answer.statistics.images_cached) == (0, 1)
    assert session.measure_image(encoded) == session.measure_image(image(5))
    with pytest.raises(PromptError, match="encoded already"):
        session.ask([{"type": "image", "image": encoded, "max_pixels": 784}])
