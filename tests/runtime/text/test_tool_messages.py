"""Calls and results as OpenAI's chat API has them, and what of it is refused."""

from typing import Any

import pytest

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.text.messages import (
    ImagePart,
    Message,
    Text,
    parse_conversation,
    parse_messages,
    parse_results,
)
from pocketvl.runtime.text.tools.tool import InvalidToolCall, ToolCall

ASK = {"role": "user", "content": "Hi"}
TAP = {"id": "a", "type": "function", "function": {"name": "tap", "arguments": '{"x": 1}'}}
LOOK = {"id": "b", "function": {"name": "look", "arguments": {}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [TAP]}
BOTH = {"role": "assistant", "content": "So:", "tool_calls": [TAP, LOOK]}


def result(content: Any = "done", **keys: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **keys}


def test_calls_are_parts_of_the_assistants_message() -> None:
    message = parse_messages([BOTH])[0]
    calls = (ToolCall("a", "tap", {"x": 1}, '{"x": 1}'), ToolCall("b", "look", {}, "{}"))
    assert message == Message("assistant", (Text("So:"), *calls))
    assert message.calls == calls
    assert parse_messages([CALL])[0].parts == calls[:1]
    assert parse_messages([{"role": "assistant", "content": "Hi", "tool_calls": []}])[0].calls == ()


def test_results_are_put_in_the_order_of_the_calls() -> None:
    both = [result("b", tool_call_id="b", name="look"), result("a", tool_call_id="a")]
    *_, first, second = parse_conversation([ASK, BOTH, *both])
    assert (first, second) == (Message("tool", (Text("a"),)), Message("tool", (Text("b"),)))
    assert parse_results(both, parse_messages([BOTH])[0].calls) == (first, second)
    assert parse_messages([ASK, BOTH, result("a"), result("b")])[2:] == (first, second)


def test_a_result_may_be_an_image_or_nothing_at_all() -> None:
    parts = [{"type": "text", "text": "seen:"}, {"type": "image", "image": "a.png"}]
    assert parse_messages([CALL, result(parts)])[1].parts == (Text("seen:"), ImagePart("a.png"))
    assert parse_messages([CALL, result("")])[1].parts == (Text(""),)


def test_the_older_shape_with_function_call() -> None:
    call = {"role": "assistant", "content": "", "function_call": {"name": "tap", "arguments": '{"x": 1}'}}
    answered = parse_messages([call, {"role": "function", "name": "tap", "content": "done"}])
    assert answered == (
        Message("assistant", (ToolCall("call_0", "tap", {"x": 1}, '{"x": 1}'),)),
        Message("tool", (Text("done"),)),
    )


@pytest.mark.parametrize(
    "arguments", ["{", "[1]", "NaN", '{"x": NaN}', '{"x": 1, "x": 2}', '{"x": 1e999}', "3"]
)
def test_what_a_model_wrote_wrongly_may_be_said_again(arguments: str) -> None:
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": arguments}}],
    }
    (found,) = parse_messages([call])[0].calls
    assert isinstance(found, InvalidToolCall)
    assert found.raw == arguments


@pytest.mark.parametrize("arguments", ['{"x":' * 9 + "1" + "}" * 9, "", ' {"x": 1} // one'])
def test_what_is_read_as_an_object(arguments: str) -> None:
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": arguments}}],
    }
    assert isinstance(parse_messages([call])[0].calls[0], ToolCall)


def test_arguments_nested_without_end_are_no_object() -> None:
    raw = '{"x":' * 100000
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": raw}}]}
    (found,) = parse_messages([call])[0].calls
    assert isinstance(found, InvalidToolCall)
    assert "nested too deeply" in found.reason


def calling(call: Any) -> list[Any]:
    return [{"role": "assistant", "tool_calls": call}]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([result()], "calls no tool"),
        ([ASK, result()], "calls no tool"),
        ([{"role": "assistant", "content": "Hi"}, result()], "calls no tool"),
        ([BOTH, result()], "1 results for 2 calls"),
        ([CALL, result(), result()], "2 results for 1 calls"),
        ([CALL, result(tool_call_id="z")], r"results of the calls z, but the calls were a"),
        ([BOTH, result(tool_call_id="a"), result(tool_call_id="a")], "the calls a, a"),
        ([BOTH, result(tool_call_id="a"), result()], "the calls a, None"),
        ([CALL, result(tool_call_id=3)], r"messages\[1\].tool_call_id must be the id"),
        ([CALL, result(), ASK], r"messages\[2\] must be the assistant's"),
        ([CALL, result(None)], r"content of messages\[1\]"),
        ([CALL, {"role": "tool"}], r"content of messages\[1\]"),
        ([CALL, result(id="a")], "unknown key 'id'"),
        ([{**ASK, "tool_calls": [TAP]}], "unknown key 'tool_calls'"),
        ([{**ASK, "tool_call_id": "a"}], "unknown key 'tool_call_id'"),
        ([{**CALL, "function_call": TAP["function"]}], "both tool_calls and function_call"),
        (calling("tap"), "tool_calls must be a list"),
        (calling(["tap"]), r"tool_calls\[0\] must be"),
        (calling([{**TAP, "type": "custom"}]), r"tool_calls\[0\] must be"),
        (calling([{**TAP, "x": 1}]), "unknown key 'x'"),
        (calling([{**TAP, "id": 3}]), "id must be a string"),
        (calling([TAP, TAP]), "has the id 'a' twice"),
        (calling([{"id": "a"}]), "function must be"),
        (calling([{"function": {"name": 3}}]), "function must be"),
        (calling([{"function": {"name": "tap", "x": 1}}]), "unknown key 'x'"),
        (
            calling([{"function": {"name": "tap", "arguments": [1]}}]),
            "must be JSON in a string, or an object",
        ),
        (calling([{"function": {"name": "tap", "arguments": {"x": {1}}}}]), "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_meant_is_refused(messages: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        parse_messages(messages)


def test_results_are_given_alone() -> None:
    calls = parse_messages([CALL])[0].calls
    with pytest.raises(PromptError, match=r"messages\[1\] is no tool's"):
        parse_results([result(), ASK], calls)
    with pytest.raises(PromptError, match="calls no tool"):
        parse_results([result()], ())
