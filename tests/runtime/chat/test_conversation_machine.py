"""Whatever is done to a conversation, its next token is the one of a fresh engine that is fed all of it.

POCKETVL_MACHINE_STEPS=2000 makes that many steps instead of a few.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Feed
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ContextError
from pocketvl.runtime.text.tokenizer import Tokenizer

STEPS = int(os.environ.get("POCKETVL_MACHINE_STEPS", "60"))  # of each engine
_STEPS_A_RUN = 20
_CLEAR = {"coreml": 0.05}  # float16; else float32: logits closer than that may change places

_WORD = st.sampled_from(["one", "two", "red", "where", "日本"])
WORDS = st.lists(_WORD, min_size=1, max_size=8).map(" ".join)
IMAGES = st.integers(0, 3)
TOKENS = st.integers(1, 4)


def image(seed: int) -> Image.Image:
    """Of two sizes; those of one size have equal tokens."""
    width = 56 + 28 * (seed % 2)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (56, width, 3), dtype=np.uint8))


def part(seed: int) -> dict[str, object]:
    return {"type": "image", "image": image(seed)}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


class Oracle:
    """An engine that is fed every conversation from its first slot on."""

    def __init__(self, bundle: Bundle) -> None:
        self.engine = open_engine(bundle, threads=1)
        manifest = bundle.manifest
        table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
        self._decoder = Decoder(self.engine.text, table, manifest)
        tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
        self._never = tokenizer.check(manifest.special_tokens, manifest.geometry.text.vocab_size)
        self._clear = _CLEAR.get(bundle.manifest.target, 1e-4)

    def check(self, feed: Feed, prompt: int) -> None:
        """Whether each token after the first `prompt` is the likeliest, as far as rounding lets one say."""
        self.engine.text.cache.truncate(0)
        if prompt == len(feed):  # the answer was the stop token alone
            return
        # The last token is not fed: that of an answer which filled the context has no slot.
        hidden = np.concatenate(list(self._decoder.feed(feed.first(len(feed) - 1))))
        logits = self._decoder.logits(hidden[prompt - 1 : len(feed) - 1])
        logits[:, self._never] = -np.inf
        for row, token in zip(logits, feed.token_ids[prompt:], strict=True):
            assert row[token] >= row.max() - self._clear, (token, int(row.argmax()), row.max() - row[token])


class Machine(RuleBasedStateMachine):
    bundle: Bundle
    engine: Engine
    oracle: Oracle
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.session = ChatSession(self.bundle, self.engine, keep_vision=True)
        self.other = ChatSession(self.bundle, self.engine)
        self.kept: list[Conversation] = [self.session.conversation]
        self.questions: dict[int, Any] = {}
        self.folder = Path(tempfile.mkdtemp())
        self.saved: Conversation | None = None
        self.answered = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _ask(self, content: Any, tokens: int) -> None:
        try:
            answer = self.session.ask(content, max_tokens=tokens, sampler=Sampler())
        except ContextError:
            self.session.reset()
            return
        self.answered = True
        statistics = answer.statistics
        assert statistics.reused_tokens + statistics.prefill_tokens == len(answer.prompt_token_ids)

    @rule(words=WORDS, tokens=TOKENS)
    def say(self, words: str, tokens: int) -> None:
        self._ask(words, tokens)

    @rule(words=WORDS, seed=IMAGES, tokens=TOKENS)
    def see(self, words: str, seed: int, tokens: int) -> None:
        self._ask([part(seed), text(words)], tokens)

    @rule(words=WORDS, seed=IMAGES, tokens=TOKENS)
    def see_ahead(self, words: str, seed: int, tokens: int) -> None:
        encoded = self.session.encode_image(image(seed))
        self._ask([{"type": "image", "image": encoded}, text(words)], tokens)

    @rule(
        seeds=st.lists(IMAGES, max_size=2), answer=WORDS, words=WORDS, system=st.none() | WORDS, tokens=TOKENS
    )
    def give_all(self, seeds: list[int], answer: str, words: str, system: str | None, tokens: int) -> None:
        first = [] if system is None else [{"role": "system", "content": system}]
        self._ask(
            [
                *first,
                {"role": "user", "content": [*map(part, seeds), text("what")]},
                {"role": "assistant", "content": answer},
                {"role": "user", "content": words},
            ],
            tokens,
        )

    @precondition(lambda self: self.session.conversation.before is not None)
    @rule(words=WORDS, tokens=TOKENS)
    def edit(self, words: str, tokens: int) -> None:
        assert self.session.conversation.before is not None
        self.session.conversation = self.session.conversation.before
        self._ask(words, tokens)

    @precondition(lambda self: self.session.conversation.before is not None)
    @rule(tokens=TOKENS)
    def regenerate(self, tokens: int) -> None:
        before = self.session.conversation.before
        self.session.regenerate(max_tokens=tokens, sampler=Sampler())
        assert self.session.conversation.before is before
        self.answered = True

    @rule()
    def keep(self) -> None:
        self.kept = [*self.kept[-3:], self.session.conversation]

    @rule(number=st.integers(0, 3))
    def fork(self, number: int) -> None:
        self.session.conversation = self.kept[number % len(self.kept)]

    @rule(words=WORDS, seed=IMAGES)
    def another_speaks(self, words: str, seed: int) -> None:
        self.other.reset()
        self.other.ask([part(seed), text(words)], max_tokens=1)

    @rule()
    def save(self) -> None:
        self.session.save(self.folder / "saved")
        self.saved = self.session.conversation

    @precondition(lambda self: self.saved is not None)
    @rule(restart=st.booleans())
    def restore(self, restart: bool) -> None:
        if restart:
            self.engine.close()
        assert self.saved is not None
        restored = ChatSession.restore(self.folder / "saved", self.bundle, self.engine, keep_vision=True)
        feed, expected = restored.conversation.feed, self.saved.feed
        assert (feed.token_ids, feed.media_keys) == (expected.token_ids, expected.media_keys)
        np.testing.assert_array_equal(feed.positions, expected.positions)
        self.session = restored

    @rule(words=WORDS, seed=IMAGES, after=st.integers(0, 2))
    def cancel(self, words: str, seed: int, after: int) -> None:
        before = self.session.conversation
        stream = self.session.stream([part(seed), text(words)], max_tokens=6, sampler=Sampler())
        pieces = iter(stream)
        try:
            read = [next(pieces, None) for _ in range(after)]
        except ContextError:
            self.session.reset()
            return
        if after == 1:
            self.session.cancel()
            list(pieces)
            self.answered = bool(stream.answer.token_ids)
        elif None in read:  # it ended by itself
            self.answered = True
        else:
            stream.close()
            assert self.session.conversation is before

    @rule()
    def reset(self) -> None:
        self.session.reset()

    @invariant()
    def the_cache_holds_what_it_says(self) -> None:
        """The answer just made is the one of a fresh prefill of all that came before."""
        type(self).steps += 1
        conversation = self.session.conversation
        assert conversation.feed.next_position == self.session.next_position
        if self.answered:
            self.answered = False
            self.oracle.check(conversation.feed, conversation.answer_start)


@pytest.mark.parametrize("name", ["small_onnx_bundle", "small_coreml_bundle"])
def test_a_conversation_is_its_tokens_alone(request: pytest.FixtureRequest, name: str) -> None:
    bundle: Bundle = request.getfixturevalue(name)
    engine, oracle = open_engine(bundle, threads=1), Oracle(bundle)

    class Own(Machine):
        pass

    Own.bundle, Own.engine, Own.oracle = bundle, engine, oracle
    run_state_machine_as_test(
        Own,
        settings=settings(
            max_examples=max(1, STEPS // _STEPS_A_RUN),
            stateful_step_count=_STEPS_A_RUN,
            derandomize=STEPS <= 60,
            phases=[Phase.generate],  # making a failure shorter takes longer than finding it
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{name}: {Own.steps} steps")
    engine.close()
    oracle.engine.close()
