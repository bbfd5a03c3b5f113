"""Stop strings, log-probabilities, constraints and lookup, as a session takes them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.decoding.speculation.draft_length import PassCosts
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.onnx.engine import open_onnx
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.tokenizer import Tokenizer


class Scripted(Sampler):
    """Says these tokens, one after the other, then ends."""

    def __init__(self, tokens: Sequence[int], end: int) -> None:
        super().__init__()
        self._tokens = iter([*tokens, end])

    def sample(self, logits: object, seen: object = (), never: object = None) -> int:
        return next(self._tokens)


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_onnx(bundle, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def session(bundle: Bundle, engine: Engine) -> ChatSession:
    return ChatSession(bundle, engine)


@pytest.fixture(scope="module")
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle.path("tokenizer.json"))


def say(session: ChatSession, bundle: Bundle, tokens: Sequence[int], **options: Any) -> Answer:
    end = bundle.manifest.special_tokens.eos[0]
    return session.ask("Hi", sampler=Scripted(tokens, end), **options)


@pytest.mark.parametrize(
    ("said", "stop", "text", "found"),
    [
        ("the quick brown fox", ["brown"], "the quick ", "brown"),
        ("the quick brown fox", ["rown f"], "the quick b", "rown f"),
        ("the quick brown fox", ["the"], "", "the"),
        ("the quick brown fox", ["foxes"], "the quick brown fox", None),
        ("日本語 is", ["本"], "日", "本"),
        ("a日本語", ["日"], "a", "日"),
    ],
)
def test_an_answer_ends_before_its_stop_string_and_so_does_the_conversation(
    session: ChatSession,
    bundle: Bundle,
    tokenizer: Tokenizer,
    said: str,
    stop: list[str],
    text: str,
    found: str | None,
) -> None:
    pieces: list[str] = []
    answer = say(session, bundle, tokenizer.encode_text(said), stop=stop, on_text=pieces.append)
    assert answer.text == "".join(pieces) == text
    assert (answer.stop_reason, answer.stop_string) == ("stop", found)
    following = session.ask("And now?", max_tokens=1).prompt_token_ids
    kept = following[len(answer.prompt_token_ids) :]
    assert tokenizer.decode(kept, False).startswith(f"{text}<|im_end|>")
    assert session.conversation.messages[1].parts[0].text == text


def test_a_mark_before_a_stop_string_stays_in_the_conversation(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    box = "<|box_start|>(1,2),(30,40)<|box_end|>"
    tokens = tokenizer.encode_template(f"{box}\nmore")
    answer = say(session, bundle, tokens, stop=["\n"])
    following = session.ask("And now?", max_tokens=1).prompt_token_ids
    kept = tokenizer.decode(following[len(answer.prompt_token_ids) :], False)
    assert kept.startswith(f"{box}<|im_end|>")


def test_each_token_has_its_logprobs_if_asked_for(session: ChatSession, bundle: Bundle) -> None:
    answer = session.ask("Hi", max_tokens=6, logprobs=3, sampler=Sampler())
    assert [one.token_id for one in answer.logprobs] == list(answer.token_ids)
    for one in answer.logprobs:
        assert len(one.top) == 3
        assert one.top[0].token_id == one.token_id  # greedy
        assert one.logprob == one.top[0].logprob <= 0
        assert one.token == one.top[0].token
    assert b"".join(one.token for one in answer.logprobs).decode(errors="replace").startswith(answer.text[:1])
    session.reset()
    assert session.ask("Hi", max_tokens=2).logprobs == ()
    with pytest.raises(UsageError, match="20 alternatives"):
        session.stream("Hi", logprobs=21)


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_an_answer_of_a_schema(session: ChatSession, temperature: float) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 22, 333]}}, "required": ["n"]}
    schema["additionalProperties"] = False
    pieces: list[str] = []
    answer = session.ask(
        "Hi", json_schema=schema, sampler=Sampler(temperature, seed=0), on_text=pieces.append
    )
    assert json.loads(answer.text)["n"] in {1, 22, 333}
    assert "".join(pieces) == answer.text
    assert answer.stop_reason == "stop"
    assert session.ask("And now?", max_tokens=2).token_ids  # the turn is closed as any other


def test_an_answer_that_is_cut_off_says_so(session: ChatSession) -> None:
    answer = session.ask("Hi", regex="[a-z ]{400}", max_tokens=5)
    assert (answer.stop_reason, len(answer.token_ids)) == ("length", 5)
    session.reset()
    answer = session.ask("Hi", regex="(ab){300}", max_tokens=200)
    assert answer.stop_reason == "repetition"


def test_a_grammar_that_does_not_hold_is_refused_before_anything_runs(session: ChatSession) -> None:
    before = session.conversation
    for options in ({"regex": "("}, {"json_schema": {"type": 3}}, {"json_schema": {}, "regex": "a"}):
        with pytest.raises(UsageError):
            session.stream("Hi", images=["no-such-file.png"], **options)
    assert session.conversation is before


class Free(PassCosts):
    """As if more rows cost nothing."""

    def relative(self) -> dict[int, float]:
        return {2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}


def test_lookup_changes_no_token_and_is_counted(bundle: Bundle, engine: Engine) -> None:
    free = ChatSession(bundle, Engine(engine.vision, engine.text, Free()), stop_repetition=False)

    def ask(lookup: bool) -> tuple[Answer, Answer]:
        free.reset()
        again = Sampler(repetition_penalty=0.3)  # likes what was said before
        text = "the quick brown fox jumps over the lazy dog " * 3
        first = free.ask(text, max_tokens=60, lookup=lookup, sampler=again)
        return first, free.ask("And now?", max_tokens=8, lookup=lookup, sampler=again)

    with_lookup, without = ask(True), ask(False)
    assert [each.token_ids for each in with_lookup] == [each.token_ids for each in without]
    statistics = with_lookup[0].statistics
    assert statistics.drafted_tokens >= statistics.accepted_tokens > 0
    assert without[0].statistics.drafted_tokens == 0


def test_lookup_and_a_grammar_go_together(bundle: Bundle, engine: Engine) -> None:
    free = ChatSession(bundle, Engine(engine.vision, engine.text, Free()), stop_repetition=False)
    options = {"regex": "(ab|cd){40}", "max_tokens": 100}
    with_lookup = free.ask("abababcdcdcd " * 4, lookup=True, **options)
    free.reset()
    without = free.ask("abababcdcdcd " * 4, lookup=False, **options)
    assert with_lookup.token_ids == without.token_ids
    assert len(with_lookup.text) == 80
    assert with_lookup.statistics.accepted_tokens > 0


def test_a_placeholder_is_never_drafted(bundle: Bundle, engine: Engine) -> None:
    """Though it is what follows most often, in the prompt."""
    image = np.full((112, 112, 3), 80, np.uint8)
    pad = bundle.manifest.special_tokens.image_pad
    free = ChatSession(bundle, Engine(engine.vision, engine.text, Free()))
    answer = free.ask(
        "Hi", images=[image], sampler=Scripted([pad] * 9, bundle.manifest.special_tokens.eos[0])
    )
    assert answer.token_ids[:9] == (pad,) * 9
    assert answer.statistics.drafted_tokens == 0
