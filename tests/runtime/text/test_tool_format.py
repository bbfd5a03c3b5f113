"""Tools, calls and results as text, and answers read as calls; most of it in tests/golden/tool_calls.json."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime.text.messages import GoesOn, Message, Text, parse_messages
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.format import (
    ARGS,
    FUNCTION,
    RESULT,
    RETURN,
    SIGN,
    describe_tools,
    in_tool_format,
)
from pocketvl.runtime.text.tools.stream import Event, ToolStream, kept_tokens
from pocketvl.runtime.text.tools.tool import NO_TOOLS, InvalidToolCall, ToolCall, tool_set
from tests.support.vocabulary import write_tokenizer

GOLDEN: Any = json.loads((Path(__file__).parents[2] / "golden/tool_calls.json").read_text(encoding="utf-8"))
TOOLS = GOLDEN["answers"][0]["tools"]
MARKERS = (FUNCTION, ARGS, RESULT, RETURN)


def named(cases: list[Any]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


def test_what_the_system_turn_says_of_tools() -> None:
    for case in GOLDEN["systems"]:
        tools = tool_set(case["tools"], case["parallel"])
        assert describe_tools(tools) == case["text"]
        assert in_tool_format((), tools) == (
            Message("system", (Text(f"You are a helpful assistant.\n\n{case['text']}"),)),
        )
        (system, user) = in_tool_format(
            parse_messages([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
            tools,
        )
        assert system == Message("system", (Text(f"Be brief.\n\n{case['text']}"),))
        assert user == Message("user", (Text("Hi"),))


@named(GOLDEN["turns"])
def test_calls_and_results_in_the_history(case: Any) -> None:
    messages = in_tool_format(parse_messages(case["messages"]), NO_TOOLS)
    ends = [part for message in messages for part in message.parts if not isinstance(part, Text)]
    assert ends == [GoesOn()] * case["open"]
    texts = [
        [message.role, "".join(part.text for part in message.parts if isinstance(part, Text))]
        for message in messages
    ]
    assert texts == case["turns"]


@named(GOLDEN["answers"])
def test_answers_are_read_piece_by_piece(case: Any) -> None:
    stream = reading(case)
    events = [*map(stream.push, case["pieces"]), stream.finish()]
    assert stream.stopped_by == case["stopped_by"]
    assert [[as_golden(event) for event in each] for each in events] == [
        [with_reason(event, found) for event, found in zip(each, read, strict=True)]
        for each, read in zip(case["events"], events, strict=True)
    ]


@named(GOLDEN["answers"])
def test_the_pieces_do_not_matter(case: Any) -> None:
    text = "".join(case["pieces"])
    expected = read([text], reading(case))
    for split in range(1, len(text)):
        assert read([text[:split], text[split:]], reading(case)) == expected
    assert read(list(text), reading(case)) == expected


def test_ids_go_on_where_the_conversation_is() -> None:
    stream = ToolStream(tool_set(TOOLS, parallel=True), calls_before=3)
    (first, second) = read([f"{FUNCTION}: look{FUNCTION}: nothing"], stream)
    assert isinstance(first, ToolCall)
    assert isinstance(second, InvalidToolCall)
    assert (first.id, second.id) == ("call_3", "call_4")


def test_without_tools_nothing_is_held_back() -> None:
    stream = ToolStream(NO_TOOLS)
    assert stream.push(f"a {FUNCTION}: x \n") == [f"a {FUNCTION}: x \n"]
    assert stream.finish() == []
    after = ToolStream(NO_TOOLS, after_results=True)
    assert [after.push(":"), after.push(" a \n"), after.push(":b")] == [[], ["a \n"], [":b"]]


FRAGMENTS = st.sampled_from(
    [
        *MARKERS,
        SIGN,
        "FUNCTION",
        "RES",
        " ",
        "\n",
        ":",
        ": tap\n",
        ': {"x": 1}',
        "{",
        "}",
        '"\\ud800"',
        "1e999",
        "é",
    ]
)
TEXT = st.lists(FRAGMENTS | st.text(max_size=3), max_size=12).map("".join)


@settings(max_examples=300)
@given(text=TEXT, cuts=st.lists(st.integers(0, 40), max_size=6), parallel=st.booleans(), after=st.booleans())
def test_any_text_is_read_without_an_exception(
    text: str, cuts: list[int], parallel: bool, after: bool
) -> None:
    def stream() -> ToolStream:
        return ToolStream(tool_set(TOOLS, parallel), after_results=after)

    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(bounds)]
    events = read(pieces, stream())
    assert events == read([text], stream())
    said = "".join(event for event in events if isinstance(event, str))
    assert not any(marker in said for marker in (FUNCTION, RESULT, RETURN))
    if not any(marker in text for marker in (FUNCTION, RESULT, RETURN)) and not after:
        assert said == text
    if not parallel:
        assert sum(not isinstance(event, str) for event in events) <= 1


@settings(max_examples=200)
@given(raw=st.text(max_size=20) | TEXT, result=TEXT, question=TEXT, name=TEXT)
def test_no_text_makes_a_marker(raw: str, result: str, question: str, name: str) -> None:
    messages = parse_messages(
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": question}, {"type": "text", "text": question}],
            },
            {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": raw}}]},
            {"role": "tool", "content": result},
        ]
    )
    texts = [
        part.text
        for message in in_tool_format(messages, tool_set(TOOLS))[1:]
        for part in message.parts
        if isinstance(part, Text)
    ]
    assert SIGN not in texts[0]
    assert texts[1].count(SIGN) == 2 * len(MARKERS)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@settings(max_examples=100)
@given(before=st.text(max_size=8), after=st.text(max_size=4))
def test_what_is_kept_of_an_answer_ends_before_the_marker(
    tokenizer: Tokenizer, before: str, after: str
) -> None:
    tokens = tokenizer.encode_text(f"{before}{RESULT}{after}")
    text = tokenizer.decode(tokenizer.encode_text(before))  # the tokenizer normalizes
    assert tokenizer.decode(kept_tokens(tokens, tokenizer, RESULT, False)) == text
    with_break = text if text.endswith("\n") else f"{text}\n"
    assert tokenizer.decode(kept_tokens(tokens, tokenizer, RESULT, True)) == with_break
    assert kept_tokens(tokens, tokenizer, "", False) == tuple(tokens)


def test_a_line_break_comes_after_the_last_special_token(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode_template("a\n<|box_end|>")
    kept = kept_tokens(tokens, tokenizer, "", True)
    assert kept == (*tokens, *tokenizer.encode_text("\n"))


def reading(case: Any) -> ToolStream:
    tools = tool_set(case["tools"], case["parallel"])
    return ToolStream(tools, after_results=case["after_results"])


def read(pieces: list[str], stream: ToolStream) -> list[Event]:
    """All events, neighbouring texts as one."""
    events = [event for piece in pieces for event in stream.push(piece)] + stream.finish()
    joined: list[Event] = []
    for event in events:
        if isinstance(event, str) and joined and isinstance(joined[-1], str):
            joined[-1] += event
        else:
            joined.append(event)
    return joined


def as_golden(event: Event) -> Any:
    match event:
        case ToolCall(_, name, arguments, raw):
            return {"name": name, "arguments": arguments, "raw": raw}
        case InvalidToolCall(_, name, raw, reason):
            return {"name": name, "raw": raw, "reason": reason}
    return event


def with_reason(event: Any, found: Event) -> Any:
    """A golden that leaves the words to the JSON parser takes those that were found."""
    if isinstance(event, dict) and event.get("reason", "") is None and isinstance(found, InvalidToolCall):
        return {**event, "reason": found.reason}
    return event
