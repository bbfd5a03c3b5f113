"""The loop around tools, with scripted answers in a session's place."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from pocketvl.runtime.chat.agent import Agent, CallRecord
from pocketvl.runtime.chat.answer import Answer, Statistics
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.decoding.stopping import StopReason
from pocketvl.runtime.errors import ContextError, UsageError
from pocketvl.runtime.text.messages import Message, Text
from pocketvl.runtime.text.tools.arguments import read_call
from pocketvl.runtime.text.tools.tool import AnyToolCall, tool_set

NO_STATISTICS = Statistics()


class Scripted:
    """Answers what it was given: a text, or calls as (name, arguments in JSON)."""

    def __init__(self, tools: list[Any], *answers: str | list[tuple[str, str]] | Exception) -> None:
        self.conversation = Conversation()
        self.asked: list[Any] = []
        self.options: list[Any] = []
        self._tools = tool_set(tools, parallel=True)
        self._answers = iter(answers)

    def ask(self, content: Any, *, on_text: Any = None, **options: Any) -> Answer:
        self.asked.append(content)
        self.options.append(options)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        message = Message("assistant", (Text(str(answer)),))
        self.conversation = Conversation((*self.conversation.messages, message))
        if on_text is not None and isinstance(answer, str):
            on_text(answer)
        return _answer(answer) if isinstance(answer, str) else _answer("", self._calls(answer))

    def _calls(self, answer: list[tuple[str, str]]) -> tuple[AnyToolCall, ...]:
        return tuple(read_call(f"call_{i}", *call, self._tools) for i, call in enumerate(answer))


def _answer(text: str, calls: tuple[AnyToolCall, ...] = ()) -> Answer:
    reason: StopReason = "tool_calls" if calls else "stop"
    return Answer(text, (1,), (1,), 2, reason, NO_STATISTICS, tool_calls=calls)


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def fail(why: str) -> None:
    raise RuntimeError(why)


def results(asked: Any) -> list[Any]:
    assert all(message["role"] == "tool" for message in asked)
    return [message["content"] for message in asked]


def test_calls_are_made_until_a_text_comes() -> None:
    session = Scripted([add], [("add", '{"a": 1, "b": 2}')], [("add", '{"a": 3, "b": 3}')], "Six.")
    told: list[CallRecord] = []
    said: list[str] = []
    done = Agent(session, [add]).ask("1+2+3?", on_text=said.append, on_call=told.append, max_tokens=9)
    assert (done.text, done.stop_reason, said) == ("Six.", "stop", ["Six."])
    assert [record.result for record in done.calls] == [3, 6]
    assert list(done.calls) == told
    assert session.asked[0] == "1+2+3?"
    assert session.asked[1:] == [
        [{"role": "tool", "tool_call_id": "call_0", "content": "3"}],
        [{"role": "tool", "tool_call_id": "call_0", "content": "6"}],
    ]
    assert [options["max_tokens"] for options in session.options] == [9, 9, 9]
    assert ["tools" in options for options in session.options] == [True, False, False]


def test_images_are_asked_about_once() -> None:
    session = Scripted([add], [("add", '{"a": 1, "b": 2}')], "Three.")
    Agent(session, [add]).ask("?", images=["a.png"])
    assert [options["images"] for options in session.options] == [["a.png"], ()]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("fail", '{"why": "no network"}'), "Error: no network"),
        (("fail", '{"why": ""}'), "Error: RuntimeError"),
        (("add", '{"a": 1}'), "Error: The arguments of add do not fit: b is missing."),
        (("add", "{"), "Error: The arguments of add must be a JSON object"),
        (("sub", "{}"), "Error: There is no tool 'sub'; known are add, fail."),
    ],
)
def test_what_went_wrong_is_told_to_the_model(call: tuple[str, str], told: str) -> None:
    session = Scripted([add, fail], [call], "Sorry.")
    done = Agent(session, [add, fail]).ask("?")
    (said,) = results(session.asked[1])
    assert said.startswith(told)
    assert done.calls[0].error == said.removeprefix("Error: ")
    assert done.text == "Sorry."


def test_what_a_function_raises_can_be_let_through() -> None:
    session = Scripted([fail], [("fail", '{"why": "no network"}')], "Sorry.")
    before = session.conversation
    with pytest.raises(RuntimeError, match="no network"):
        Agent(session, [fail], raise_errors=True).ask("?")
    assert session.conversation is before


def test_a_failed_answer_leaves_the_conversation_as_it_was() -> None:
    session = Scripted([add], [("add", '{"a": 1, "b": 2}')], ContextError("too long"))
    before = session.conversation
    with pytest.raises(ContextError):
        Agent(session, [add]).ask("?")
    assert session.conversation is before


def test_there_is_an_end_to_calls() -> None:
    call = [("add", '{"a": 1, "b": 2}')]
    session = Scripted([add], call, call, call)
    done = Agent(session, [add], max_calls=2).ask("?")
    assert (done.stop_reason, len(done.calls), len(done.answers)) == ("tool_limit", 2, 3)
    both = Scripted([add], [*call, *call])
    done = Agent(both, [add], max_calls=1, parallel=True).ask("?")
    assert (done.stop_reason, done.calls) == ("tool_limit", ())


def returning(value: Any) -> Callable[[], Any]:
    def tool() -> Any:
        return value

    return tool


@pytest.mark.parametrize(
    ("value", "content"),
    [("text", "text"), (None, "null"), ({"é": [1.5, True]}, '{"é": [1.5, true]}'), ("", "")],
)
def test_results_are_text(value: Any, content: str) -> None:
    tool = returning(value)
    session = Scripted([tool], [("tool", "{}")], "Done.")
    Agent(session, [tool]).ask("?")
    assert results(session.asked[1]) == [content]


def test_a_result_may_be_an_image() -> None:
    image = Image.new("RGB", (4, 4))
    tool = returning(image)
    session = Scripted([tool], [("tool", "{}")], "Done.")
    Agent(session, [tool]).ask("?")
    assert results(session.asked[1]) == [[{"type": "image", "image": image}]]


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_a_result_that_cannot_be_told_is_the_programs_fault(value: Any) -> None:
    tool = returning(value)
    with pytest.raises(UsageError, match="The tool tool returned a"):
        Agent(Scripted([tool], [("tool", "{}")]), [tool]).ask("?")


def test_what_makes_no_agent_is_refused() -> None:
    session = Scripted([])
    with pytest.raises(UsageError, match="at least one tool"):
        Agent(session, [])
    with pytest.raises(UsageError, match="at least 1"):
        Agent(session, [add], max_calls=0)
    with pytest.raises(UsageError, match="no function to call"):
        Agent(session, [{"name": "add"}])
    with pytest.raises(UsageError, match="given when it is made"):
        Agent(session, [add]).ask("?", tools=[add])
    assert json.dumps(session.asked) == "[]"
