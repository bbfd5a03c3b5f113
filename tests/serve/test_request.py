"""What a request's fields become, without a server."""

import json
from typing import Any

import pytest

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.chat.answer import Answer, Statistics
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.serve.answer_options import answer_options
from pocketvl.runtime.serve.errors import RequestError, request_error
from pocketvl.runtime.serve.guard import Guard
from pocketvl.runtime.serve.image_files import ImageFiles
from pocketvl.runtime.serve.messages import session_messages
from pocketvl.runtime.serve.request import ChatRequest, parse_request
from pocketvl.runtime.serve.response import Completion, cached_tokens, finish_reason, usage
from pocketvl.runtime.serve.settings import Settings

DEFAULTS = SamplingDefaults(temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.05)
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def parsed(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return parse_request(json.dumps(body).encode())


def options(**fields: Any) -> AnswerOptions:
    return answer_options(parsed(**fields), DEFAULTS, 77)


def sampling(found: AnswerOptions) -> list[object]:
    names = ("_temperature", "_top_k", "_top_p", "_penalty")
    return [getattr(found["sampler"], name) for name in names]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0.7, 20, 0.8, 1.05]),
        ({"temperature": 0}, [0, 20, 0.8, 1.0]),
        ({"temperature": 0, "repetition_penalty": 1.2}, [0, 20, 0.8, 1.2]),
        ({"temperature": 1, "top_p": 1, "top_k": 0}, [1, 0, 1, 1.05]),
    ],
)
def test_what_is_not_said_is_the_bundles(fields: dict[str, Any], expected: list[object]) -> None:
    assert sampling(options(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, 77), ({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6),
     ({"max_tokens": 5, "max_completion_tokens": 5}, 5), ({"max_tokens": None}, 77)],
)  # fmt: skip
def test_the_limit_of_tokens(fields: dict[str, Any], expected: int) -> None:
    assert options(**fields)["max_tokens"] == expected


@pytest.mark.parametrize(
    ("option", "fields", "expected"),
    [
        ("stop", {"stop": "END"}, ["END"]),
        ("stop", {"stop": ["a", "b"]}, ["a", "b"]),
        ("logprobs", {"logprobs": True}, 1),
        ("logprobs", {"logprobs": True, "top_logprobs": 3}, 3),
        ("json_schema", {"response_format": {"type": "json_object"}}, {"type": "object"}),
        (
            "json_schema",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            SCHEMA,
        ),
        ("tools", {"tools": [TOOL]}, [TOOL]),
        ("tools", {"tools": [{**TOOL, "function": {**FUNCTION, "strict": False}}]}, [TOOL]),
        ("parallel_tool_calls", {"tools": [TOOL]}, True),
        ("parallel_tool_calls", {"tools": [TOOL], "parallel_tool_calls": False}, False),
        ("tools", {"tools": [TOOL], "tool_choice": "auto"}, [TOOL]),
    ],
)
def test_an_option_is_passed_on(option: str, fields: dict[str, Any], expected: object) -> None:
    assert options(**fields)[option] == expected  # type: ignore[literal-required]


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": []},
        {"logprobs": False},
        {"response_format": {"type": "text"}},
        {"tools": []},
        {"tools": [TOOL], "tool_choice": "none"},
        {"tool_choice": "auto"},
        {"parallel_tool_calls": True},
    ],
)
def test_what_asks_for_nothing_is_no_option(fields: dict[str, Any]) -> None:
    assert set(options(**fields)) == {"max_tokens", "sampler"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL, TOOL]},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather", "x": 1}}},
        {"tools": [TOOL], "tool_choice": "function:weather"},
        {"tools": [{"type": "function", "function": FUNCTION | {"body": 1}}]},
        {"tools": [{"type": "search"}]},
        {"tools": {}},
        {"tool_choice": "required"},
        {"response_format": {"type": "text", "json_schema": {"name": "n", "schema": {}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": []}}},
        {"parallel_tool_calls": 1},
        {"tools": [{"type": "function", "function": FUNCTION | {"strict": True}}]},
        {"temperature": True},
        {"temperature": float("nan")},
        {"temperature": 10**400},
        {"seed": 2**64},
        {"seed": 1.0},
        {"top_k": -1},
        {"logprobs": 1},
        {"logprobs": True, "top_logprobs": 21},
        {"n": 1.5},
        {"stop": 5},
        {"stop": [5]},
        {"stop": ""},
    ],
)
def test_fields_that_cannot_be_meant(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        options(**fields)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "a", "content": "b"},
        {"role": "assistant", "tool_calls": [{"id": "a"}], "content": None},
        {"role": "function", "name": "a", "content": "b"},
        {"role": ["user"], "content": "b"},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": ""}}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": ["data:x"]}]},
        {"role": "user", "content": [{"type": "video", "video": []}]},
        {"role": "user", "content": [{"type": "video", "video": ["data:x", 5]}]},
        {"role": "user", "content": [{"type": "video", "video": "data:x", "what": 1}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "what": 1}}]},
        {"role": "user", "content": [{"type": "image", "image": "/etc/passwd"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "/etc/passwd"}]},
        {"role": "user", "content": [{"type": ["text"], "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "a", "image": "/etc/passwd"}]},
        {"role": "user", "content": {"type": "text", "text": "a"}},
    ],
)
def test_messages_that_are_refused(message: dict[str, Any]) -> None:
    asked = [message, {"role": "user", "content": "Hello"}]
    with pytest.raises(RequestError) as refused:
        session_messages(asked, ImageFiles([], 1))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": "a.mp4"}},
        {"type": "video", "video": "/etc/passwd"},
        {"type": "video", "video": ["data:x", "file:///etc/passwd"]},
    ],
)
def test_videos_name_no_files_that_were_not_allowed(part: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        session_messages([{"role": "user", "content": [part]}], ImageFiles([], 1))
    assert refused.value.status == 403


def test_videos_are_passed_on_with_their_options() -> None:
    parts = [
        {"type": "video_url", "video_url": {"url": "data:x"}, "nframes": 4},
        {"type": "video", "video": ["data:x", "data:y"], "fps": 1},
    ]
    (message,) = session_messages([{"role": "user", "content": parts}], ImageFiles([], 1))
    assert message["content"] == [
        {"type": "video", "video": "data:x", "nframes": 4},
        {"type": "video", "video": ["data:x", "data:y"], "fps": 1},
    ]


def test_a_request_has_so_many_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    asked = [{"role": "user", "content": [image] * 128}, {"role": "user", "content": [image] * 128}]
    assert len(session_messages(asked, ImageFiles([], 1))) == 2
    asked[1]["content"].append(image)
    with pytest.raises(RequestError, match="more than 256 images"):
        session_messages(asked, ImageFiles([], 1))


def test_boxes_and_sizes_are_passed_on() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}, "max_pixels": 5000},
        {"type": "object_ref", "text": "the cat"},
        {"type": "box", "box": [1, 2, 3, 4]},
    ]
    messages = [{"role": "developer", "content": "Short."}, {"role": "user", "content": parts}]
    first, second = session_messages(messages, ImageFiles([], 1))
    assert first == {"role": "system", "content": "Short."}
    assert second["content"] == parts


def answer(tokens: int, reason: Any, prefilled: int = 2) -> Answer:
    statistics = Statistics(prefill_tokens=prefilled)
    return Answer("text", tuple(range(tokens)), tuple(range(10)), 0, reason, statistics)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), ("context", "length"), ("repetition", "length"),
     ("cancelled", "length")],
)  # fmt: skip
def test_what_ended_an_answer(reason: str, expected: str) -> None:
    assert finish_reason(answer(3, reason)) == expected
    whole = Completion("m").whole(answer(3, reason))
    assert whole["pocketvl"]["stop_reason"] == reason


def test_usage_counts_what_was_kept() -> None:
    assert usage(answer(3, "stop"))["total_tokens"] == 13
    assert cached_tokens(answer(3, "stop")) == 8
    assert cached_tokens(answer(0, "cancelled", prefilled=0)) == 0, "nothing was fed"


def test_what_is_not_foreseen_says_nothing_of_itself() -> None:
    assert "secret" not in str(request_error(RuntimeError("secret")))
    assert request_error(RuntimeError("secret")).status == 500


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("LOCALHOST:8000", True), ("localhost.", True), ("127.0.0.1", True),
     ("10.0.0.7:80", True), ("[::1]", True), ("[::1]:80", True), ("::1", True), ("box:1", True),
     ("", False), (":80", False), ("evil.example", False), ("localhost:80:90", False), ("127.1", False),
     ("localhost@evil.example", False), ("2130706433", False), ("[::1", True), ("0x7f.1", False)],
)  # fmt: skip
def test_which_hosts_are_ours(host: str, ours: bool) -> None:
    async def app(*_: object) -> None:
        raise AssertionError

    guard = Guard(app, Settings("m", allow_hosts=("Box",)), lambda _: None)
    assert guard._is_ours(host) is ours
