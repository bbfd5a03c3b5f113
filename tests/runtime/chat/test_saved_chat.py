"""A conversation that was saved goes on after a restart, without vision, and if it can without prefill."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvl.runtime import load
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.saved.storage import read_chat
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Feed
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ConversationError
from tests.support.chats import about, image
from tests.support.coreml_float32 import in_float32
from tests.support.sampling import Scripted

BUNDLES = ["small_onnx_bundle", "small_bundle", "small_coreml_bundle"]


@pytest.fixture(scope="module", params=BUNDLES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


def last_logits(bundle: Bundle, engine: Engine, feed: Feed, first: int) -> Float32:
    table = EmbeddingMap(bundle.path(bundle.manifest.token_embedding.file), bundle.manifest.token_embedding)
    decoder = Decoder(engine.text, table, bundle.manifest)
    *_, hidden = decoder.feed(feed, first)
    return decoder.logits(hidden[-1:])


def test_a_second_question_after_a_restart_costs_its_own_tokens(bundle: Bundle, tmp_path: Path) -> None:
    with load(bundle.folder, threads=1) as model:
        session = model.chat()
        first = session.ask(about(1), max_tokens=5)
        session.save(tmp_path / "saved")
        expected = session.ask("And now?", max_tokens=6)
        slots = len(first.prompt_token_ids) + 5
    with load(bundle.folder, threads=1) as model:
        restored = model.load_chat(tmp_path / "saved")
        assert restored.free_context == bundle.manifest.max_context - slots
        answer = restored.ask("And now?", max_tokens=6)
        assert answer.token_ids == expected.token_ids
        assert answer.next_position == expected.next_position
        statistics = answer.statistics
        assert (statistics.images_encoded, statistics.images_cached) == (0, 0)
        assert statistics.reused_tokens == expected.statistics.reused_tokens == slots - 1
        assert statistics.prefill_tokens == expected.statistics.prefill_tokens


def test_logits_over_a_restored_cache_are_those_before(bundle: Bundle, tmp_path: Path) -> None:
    engine = open_engine(bundle, threads=1)
    session = ChatSession(bundle, engine)
    session.ask(about(1), max_tokens=5)
    feed = session.conversation.feed
    held = len(engine.text.cache)
    session.save(tmp_path / "saved")
    expected = last_logits(bundle, engine, feed, held)
    engine.close()
    other = open_engine(bundle, threads=1)
    restored = ChatSession.restore(tmp_path / "saved", bundle, other)
    assert len(other.text.cache) == held
    np.testing.assert_array_equal(last_logits(bundle, other, restored.conversation.feed, held), expected)
    # All of it fed anew, in other chunks: equal but for the order in which numbers are added.
    tolerance = 2e-2 if bundle.manifest.target == "coreml" else 1e-4
    np.testing.assert_allclose(last_logits(bundle, other, feed, 0), expected, atol=tolerance)
    other.close()


@pytest.mark.parametrize("name", ["small_onnx_bundle", "small_coreml_bundle"])
def test_a_restored_prefill_is_bit_equal_to_a_fresh_one(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    """A question that was prefilled, saved and restored, against one that a new engine prefills."""
    bundle: Bundle = request.getfixturevalue(name)
    engine = open_engine(bundle, threads=1)
    session = ChatSession(bundle, engine)
    session.ask(about(1), max_tokens=1)
    feed = session.conversation.feed.first(session.conversation.answer_start)
    session.save(tmp_path / "saved")
    engine.close()
    restored = open_engine(bundle, threads=1)
    ChatSession.restore(tmp_path / "saved", bundle, restored)
    fresh = open_engine(bundle, threads=1)
    expected = last_logits(bundle, fresh, feed, 0)  # fills its cache
    for engine in (restored, fresh):
        assert engine.text.cache.common_prefix(feed) == len(feed)
    last = len(feed) - 1
    found = last_logits(bundle, restored, feed, last)
    np.testing.assert_array_equal(found, last_logits(bundle, fresh, feed, last))
    np.testing.assert_allclose(found, expected, atol=2e-2 if name == "small_coreml_bundle" else 1e-4)
    restored.close()
    fresh.close()


def test_chunk_borders_move_a_core_ml_cache_by_no_more_than_float16(
    small_coreml_bundle: Bundle, tmp_path: Path
) -> None:
    """The same programs with float32 values and states keep to the other targets' tolerance.

    How far float16 moves them depends on the processor; on some not at all.
    """
    moved = {}
    for name, bundle in (
        ("float16", small_coreml_bundle),
        ("float32", in_float32(small_coreml_bundle, tmp_path / "wide")),
    ):
        engine = open_coreml(bundle)
        session = ChatSession(bundle, engine)
        session.ask(about(1), max_tokens=5)
        feed = session.conversation.feed
        held = last_logits(bundle, engine, feed, len(feed) - 1)  # the prompt in chunks, then token by token
        moved[name] = np.abs(last_logits(bundle, engine, feed, 0) - held).max()
        engine.close()
    assert moved["float32"] < 1e-4
    assert moved["float16"] < 2e-2


def test_an_engine_whose_cache_was_lost_feeds_it_again(bundle: Bundle, tmp_path: Path) -> None:
    with load(bundle.folder, threads=1) as model:
        session = model.chat()
        session.ask(about(1), max_tokens=5)
        kept = session.conversation
        expected = session.ask("And now?", max_tokens=5)
        session.conversation = kept
        session.close()
        session.save(tmp_path / "saved")
    assert read_chat(tmp_path / "saved", bundle.manifest).cached_slots == 0
    with load(bundle.folder, threads=1) as model:
        answer = model.load_chat(tmp_path / "saved").ask("And now?", max_tokens=5)
        assert answer.token_ids == expected.token_ids
        assert (answer.statistics.images_encoded, answer.statistics.reused_tokens) == (0, 0)


def test_turns_images_and_options_come_back(onnx: Bundle, saved: Path) -> None:
    with load(onnx.folder, threads=1) as model:
        session = model.load_chat(saved)
        last = session.conversation
        assert [message.role for message in last.messages] == ["system", *["user", "assistant"] * 3]
        assert last.image_sizes == ((84, 84),) * 3
        assert len({media.key for media in last.feed.media}) == 2
        assert session.measure_image(image(3).resize((400, 400)))[:2] == (84, 84)
        # To make anew, to take back, to edit, with an image given again.
        answer = session.regenerate(max_tokens=2)
        assert answer.statistics.prefill_tokens == 1
        before = last.before
        assert before is not None
        assert before.before is not None
        session.conversation = before.before
        assert session.ask(about(2), max_tokens=1).statistics.images_encoded == 1  # its own cache is empty
        session.conversation = last
        system = {"role": "system", "content": "Be brief."}
        edited = session.ask([system, {"role": "user", "content": about(1, "Who?")}], max_tokens=1)
        assert edited.statistics.images_encoded == 0
        session.reset()
        assert [message.role for message in session.conversation.messages] == ["system"]


def test_an_empty_conversation_can_be_saved(onnx: Bundle, tmp_path: Path) -> None:
    with load(onnx.folder, threads=1) as model:
        model.chat().save(tmp_path / "saved")
        assert model.load_chat(tmp_path / "saved").ask("Hi", max_tokens=1).token_ids


def test_a_conversation_that_filled_its_context_comes_back(onnx: Bundle, tmp_path: Path) -> None:
    """The last token of its answer has no slot."""
    with load(onnx.folder, threads=1) as model:
        session = model.chat(stop_repetition=False)
        answer = session.ask(about(1), max_tokens=1000, sampler=Scripted([65] * 1000))
        assert answer.stop_reason == "context"
        assert len(session.conversation.feed) == onnx.manifest.max_context + 1
        session.save(tmp_path / "saved")
        restored = model.load_chat(tmp_path / "saved")
        assert restored.conversation.feed.token_ids == session.conversation.feed.token_ids
        assert restored.regenerate(max_tokens=2).statistics.prefill_tokens == 1


def test_saving_again_takes_its_place(onnx: Bundle, saved: Path) -> None:
    with load(onnx.folder, threads=1) as model:
        session = model.load_chat(saved)
        session.ask("More", max_tokens=2)
        session.save(saved)
        assert len(model.load_chat(saved).conversation.messages) == 9


def test_another_bundles_conversation_is_refused(onnx: Bundle, saved: Path) -> None:
    files = tuple(replace(record, sha256="0" * 64) for record in onnx.manifest.files)
    with pytest.raises(ConversationError, match="saved with another bundle"):
        read_chat(saved, replace(onnx.manifest, files=files))


def test_it_is_said_where_it_cannot_be_saved(onnx: Bundle, tmp_path: Path) -> None:
    with load(onnx.folder, threads=1) as model:
        for path in (tmp_path / "no" / "folder", tmp_path):
            with pytest.raises(ConversationError, match="cannot be saved as"):
                model.chat().save(path)
        with pytest.raises(ConversationError, match="does not exist"):
            model.load_chat(tmp_path / "nothing")
        with pytest.raises(ConversationError, match="is a folder"):
            model.load_chat(tmp_path)
    assert list(tmp_path.iterdir()) == []
