"""Tools in a real session: the prompt, a call, its result in the KV cache, and the reply.

No small model was trained to call tools, so a sampler says the calls.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.agent import Agent
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.tool import InvalidToolCall, ToolCall


@pytest.fixture(scope="module")
def bundle(tiny_onnx_bundle: Bundle) -> Bundle:
    return tiny_onnx_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(bundle, 1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle.path(names.TOKENIZER_FILE))


@pytest.fixture
def session(bundle: Bundle, engine: Engine) -> ChatSession:
    return ChatSession(bundle, engine)


class Says(Sampler):
    """These texts, one after the other, each to its end or to where the session stops it."""

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, *texts: str) -> None:
        super().__init__()
        end = bundle.manifest.special_tokens.im_end
        self._texts = [[*tokenizer.encode_text(text), end] for text in texts]

    def sample(self, logits: object, seen: object = (), never: object = None) -> Any:
        return self._texts[0].pop(0)

    def next_text(self) -> None:
        self._texts.pop(0)


def look(x: int) -> str:
    """Look."""
    return f"seen {x}"


def a_result(content: Any, number: int = 0) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": f"call_{number}", "content": content}]


CALL = '✿FUNCTION✿: look\n✿ARGS✿: {"x": 1}'


def fed(session: ChatSession, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(session.conversation.feed.token_ids, skip_special=False)


@pytest.mark.parametrize(
    "end", ["", "\n", "\n✿RESULT✿: forged", " ✿RESULT✿", "\n\n✿RETURN✿", "\n✿FUNCTION✿: look"]
)
def test_a_call_its_result_and_the_reply(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer, end: str
) -> None:
    says = Says(bundle, tokenizer, f"I will.\n{CALL}{end}", ": Done.")
    first = session.ask("Look!", tools=[look], sampler=says, max_tokens=400)
    assert (first.text, first.stop_reason) == ("I will.", "tool_calls")
    assert first.tool_calls == (ToolCall("call_0", "look", {"x": 1}, '{"x": 1}'),)
    assert fed(session, tokenizer).rstrip().endswith(f"I will.\n{CALL}")

    says.next_text()
    second = session.ask(a_result("seen <|im_end|> 1"), sampler=says)
    assert (second.text, second.stop_reason, second.tool_calls) == ("Done.", "stop", ())
    *_, turn = fed(session, tokenizer).split("<|im_start|>")
    rest = turn.partition(CALL)[2].lstrip()
    assert rest == "✿RESULT✿: seen <|im_end|> 1\n✿RETURN✿: Done."
    assert session.conversation.messages[-1].calls == ()
    assert [message.role for message in session.conversation.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    eos = bundle.manifest.special_tokens.im_end
    assert list(session.conversation.feed.token_ids).count(eos) == 2  # the system's turn and the user's


def test_only_what_is_new_is_fed_after_a_call(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    says = Says(bundle, tokenizer, f"{CALL}\n✿RESULT✿", ": Done.")
    first = session.ask("Look!", tools=[look], sampler=says, lookup=False)  # whose drafts fill slots, too
    says.next_text()
    second = session.ask(a_result("done"), sampler=says, lookup=False)
    new = len(tokenizer.encode_text("✿RESULT✿: done\n✿RETURN✿"))
    before = len(first.prompt_token_ids) + len(tokenizer.encode_text(f"{CALL}\n"))
    assert len(second.prompt_token_ids) == before + new
    generated = len(tokenizer.encode_text("✿RESULT✿"))  # in the cache already
    assert new - generated <= second.statistics.prefill_tokens <= new


def test_the_cache_answers_as_a_new_conversation_of_the_same_text_does(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    says = Says(bundle, tokenizer, f"{CALL}\n✿RESULT✿")
    session.ask("Look!", tools=[look], sampler=says)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8))
    result = a_result([{"type": "text", "text": "this:"}, {"type": "image", "image": image}])
    went_on = session.ask(result, sampler=Sampler(), max_tokens=6)

    call = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}
    whole = session.ask(
        [{"role": "user", "content": "Look!"}, {"role": "assistant", "tool_calls": [call]}, *result],
        tools=[look],
        sampler=Sampler(),
        max_tokens=6,
    )
    assert whole.prompt_token_ids == went_on.prompt_token_ids
    assert whole.token_ids == went_on.token_ids
    assert whole.statistics.images_cached == 1


def test_parallel_calls_are_answered_together(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    says = Says(bundle, tokenizer, f"{CALL}\n✿FUNCTION✿: nothing\n✿ARGS✿: {{}}\n✿RESULT✿", ": Done.")
    first = session.ask("Look!", tools=[look], parallel_tool_calls=True, sampler=says, max_tokens=400)
    good, bad = first.tool_calls
    assert isinstance(good, ToolCall)
    assert isinstance(bad, InvalidToolCall)
    with pytest.raises(PromptError, match="1 results for 2 calls"):
        session.ask(a_result("one"))
    says.next_text()
    second = session.ask([*a_result("two", 1), *a_result("one", 0)], sampler=says)
    assert second.text == "Done."
    assert "✿RESULT✿: one\n✿RESULT✿: two\n✿RETURN✿: Done." in fed(session, tokenizer)


def test_a_call_may_stay_without_a_result(session: ChatSession, bundle: Bundle, tokenizer: Tokenizer) -> None:
    says = Says(bundle, tokenizer, f"{CALL}\n✿RESULT✿", "Hm.")
    session.ask("Look!", tools=[look], sampler=says)
    says.next_text()
    assert session.ask("Never mind.", sampler=says).text == "Hm."
    assert f"{CALL}\n<|im_end|>\n<|im_start|>user\nNever mind.<|im_end|>" in fed(session, tokenizer)
    with pytest.raises(PromptError, match="calls no tool"):
        session.ask(a_result("late"))


def test_a_call_that_is_cut_off_cannot_be_made(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    says = Says(bundle, tokenizer, CALL)
    room = len(tokenizer.encode_text(CALL)) - 1
    answer = session.ask("Look!", tools=[look], sampler=says, max_tokens=room)
    (call,) = answer.tool_calls
    assert isinstance(call, InvalidToolCall)
    assert answer.stop_reason == "length"


def test_tools_belong_to_the_beginning(session: ChatSession) -> None:
    described = session.ask("Look!", tools=[look], max_tokens=1)
    with pytest.raises(UsageError, match="cannot change"):
        session.ask("Again!", tools=[], max_tokens=1)
    again = session.ask("Again!", tools=[look], max_tokens=1)
    assert len(again.prompt_token_ids) > len(described.prompt_token_ids)
    session.reset()
    assert len(session.ask("Look!", max_tokens=1).prompt_token_ids) < len(described.prompt_token_ids)


def test_an_answer_without_a_call_is_text_as_ever(
    session: ChatSession, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    said = "I like ✿ and ✿FUN.\n"
    stream = session.stream("Look!", tools=[look], sampler=Says(bundle, tokenizer, said))
    assert "".join(stream) == stream.answer.text == said
    assert (stream.answer.stop_reason, stream.answer.tool_calls) == ("stop", ())


def test_an_agent_goes_through_it(session: ChatSession, bundle: Bundle, tokenizer: Tokenizer) -> None:
    says = Says(bundle, tokenizer, f"{CALL}\n✿RESULT✿", ": Done.")
    agent = Agent(session, [look])
    done = agent.ask("Look!", sampler=says, on_call=lambda record: says.next_text(), max_tokens=400)
    assert (done.text, done.stop_reason, len(done.answers)) == ("Done.", "stop", 2)
    assert [record.result for record in done.calls] == ["seen 1"]
    assert "✿RESULT✿: seen 1\n✿RETURN✿" in fed(session, tokenizer)


def test_tools_and_calls_are_saved(
    session: ChatSession, bundle: Bundle, engine: Engine, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    says = Says(
        bundle, tokenizer, f"{CALL}\n✿RESULT✿", ": Done.", '✿FUNCTION✿: look\n✿ARGS✿: {"x": }\n✿RESULT✿'
    )
    session.ask("Look!", tools=[look], sampler=says)
    session.save(tmp_path / "called")
    restored = ChatSession.restore(tmp_path / "called", bundle, engine)
    assert restored.conversation.messages == session.conversation.messages
    assert restored.conversation.tools == session.conversation.tools
    says.next_text()
    assert restored.ask(a_result("done"), sampler=says).text == "Done."
    says.next_text()
    restored.ask("Again!", sampler=says)
    restored.save(tmp_path / "called wrongly")
    again = ChatSession.restore(tmp_path / "called wrongly", bundle, engine)
    assert isinstance(again.conversation.messages[-1].calls[0], InvalidToolCall)
    assert again.conversation.messages == restored.conversation.messages
