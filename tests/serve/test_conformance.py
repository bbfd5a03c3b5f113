"""The contract of docs/server.md, for any server that claims it.

    POCKETVL_BASE_URL=http://127.0.0.1:8000/v1 pytest tests/serve/test_conformance*.py

Without the variable a server is started in this process. One that needs a key finds it in POCKETVL_API_KEY.
"""

from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from tests.support.servers import data_url, example, user

HELLO = [{"role": "user", "content": "Hello"}]
PIXEL = data_url(Image.new("RGB", (56, 56), "red"))


def chat(http: httpx.Client, served: str, **fields: Any) -> httpx.Response:
    body = {"model": served, "messages": HELLO, "max_tokens": 4, **fields}
    return http.post("chat/completions", json=body)


def test_the_model_is_listed_and_found(client: openai.OpenAI, model: str) -> None:
    assert [each.id for each in client.models.list()] == [model]
    assert client.models.retrieve(model).object == "model"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("another")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(("task", "index"), [("colour", 1), ("count", 0), ("read", 3)])
def test_an_image_is_answered_about_whole_and_in_pieces(
    client: openai.OpenAI, model: str, task: str, index: int
) -> None:
    message, _ = example(task, index)
    asked: Any = {"model": model, "messages": [message], "temperature": 0, "max_tokens": 32}
    whole = client.chat.completions.create(**asked)
    (choice,) = whole.choices
    assert (whole.object, choice.message.role, choice.finish_reason) == (
        "chat.completion",
        "assistant",
        "stop",
    )
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert {(chunk.id, chunk.object, chunk.model) for chunk in chunks} == {
        (chunks[0].id, "chat.completion.chunk", model)
    }
    *pieces, last, counted = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == choice.message.content
    assert last.choices[0].finish_reason == "stop"
    assert counted.choices == []
    assert counted.usage is not None
    assert whole.usage is not None
    assert counted.usage.completion_tokens == whole.usage.completion_tokens > 0
    assert counted.usage.prompt_tokens == whole.usage.prompt_tokens
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    details = counted.usage.prompt_tokens_details
    assert details is not None
    assert details.cached_tokens == whole.usage.prompt_tokens - 1, "the same prompt is fed again"


def test_usage_comes_only_if_wanted(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=HELLO, max_tokens=2, stream=True)  # type: ignore[arg-type]
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_a_conversation_goes_on_from_what_is_kept(http: httpx.Client, model: str) -> None:
    message, _ = example("colour", 2)
    first = chat(http, model, messages=[message], temperature=0).json()
    said = first["choices"][0]["message"]
    assert set(said) >= {"role", "content"}
    second = chat(http, model, messages=[message, said, {"role": "user", "content": "And now?"}]).json()
    kept = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert kept >= first["usage"]["prompt_tokens"]


def test_boxes_are_in_pixels_of_the_image(http: httpx.Client, model: str) -> None:
    message, _ = example("point", 0)
    answer = chat(http, model, messages=[message], temperature=0, max_tokens=32).json()
    (box,) = answer["pocketvl"]["boxes"]
    assert box["image"] == 0
    assert 0 <= box["x1"] < box["x2"] <= 150
    assert answer["pocketvl"]["stop_reason"] == "stop"


def test_tokens_are_limited(http: httpx.Client, model: str) -> None:
    message, _ = example("point", 0)
    for field in ("max_tokens", "max_completion_tokens"):
        fields = {"max_tokens": None, field: 2}
        answer = chat(http, model, messages=[message], temperature=0, **fields).json()
        assert answer["usage"]["completion_tokens"] == 2
        assert answer["choices"][0]["finish_reason"] == "length"


def test_a_seed_draws_the_same_again(http: httpx.Client, model: str) -> None:
    def text(seed: int) -> str:
        drawn = chat(http, model, temperature=2.0, top_p=1.0, top_k=0, seed=seed, max_tokens=16)
        return str(drawn.json()["choices"][0]["message"]["content"])

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(6)}) > 1


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "modalities": ["text"]},
        {"response_format": {"type": "text"}, "stop": None, "logprobs": False, "tools": [], "seed": None},
        {"top_k": 3, "repetition_penalty": 1.1, "top_p": 0.9, "temperature": 1},
        {"messages": [{"role": "developer", "content": "Be short."}, *HELLO]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PIXEL}]}]},
        {"messages": [{**user("Hello"), "tool_calls": None, "refusal": None, "annotations": []}]},
    ],
)
def test_fields_that_are_taken(http: httpx.Client, model: str, fields: dict[str, Any]) -> None:
    assert chat(http, model, **fields).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"user": "somebody"}, "user"),
        ({"wrong": 1}, "wrong"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "king", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages[0].name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"stop": [""]}, "stop"),
        ({"stop": list("abcde")}, "stop"),
        ({"stream": True, "stream_options": {"what": 1}}, "stream_options.what"),
        ({"stream_options": {"include_usage": True}}, None),
        ({"top_logprobs": 3}, None),
        ({"tool_choice": "required"}, None),
        ({"max_tokens": 3, "max_completion_tokens": 4}, None),
        ({"model": 5}, "model"),
    ],
)
def test_fields_that_are_refused(
    http: httpx.Client, model: str, fields: dict[str, Any], param: str | None
) -> None:
    refused = chat(http, model, **fields)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"].endswith((".", "..."))


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1/a.png", 400),
        ("HTTPS://example.com/a.png", 400),
        ("ftp://example.com/a.png", 403),
        ("/etc/passwd", 403),
        ("/etc/no-such-file", 403),
        ("../../../../etc/passwd", 403),
        ("file:///etc/passwd", 403),
        ("file://elsewhere/a.png", 400),
        ("data:image/png;base64,AAAA", 400),
        ("data:image/png;base64,%%%", 400),
        ("data:image/png,AAAA", 400),
        ("data:", 400),
        ("a\0b", 400),
        ("", 400),
        (None, 400),
        (["data:"], 400),
    ],
)
def test_images_that_are_refused(http: httpx.Client, model: str, url: object, status: int) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    for stream in (False, True):
        refused = chat(http, model, messages=[{"role": "user", "content": [part]}], stream=stream)
        assert refused.status_code == status
        assert refused.json()["error"]["param"].startswith("messages")


def test_a_prompt_beyond_the_context(http: httpx.Client, model: str) -> None:
    refused = chat(http, model, messages=[{"role": "user", "content": "long " * 20_000}])
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


def test_another_model_is_not_there(http: httpx.Client) -> None:
    refused = chat(http, "gpt-4o")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
