"""Messages in every accepted shape, and each mistake named with its place."""

from pathlib import Path
from typing import Any

import pytest

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.messages import Clip, Message, Picture, Text, media_of, parse_messages


def test_every_shape_of_content() -> None:
    messages = parse_messages(
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Compare"},
                    {"type": "image_url", "image_url": {"url": "a.jpg", "detail": "low"}},
                    {"type": "image_url", "image_url": "b.jpg"},
                    {"type": "image", "image": Path("c.jpg")},
                    {"type": "video", "video": ["d.jpg", "e.jpg"]},
                ],
            },
        ]
    )
    media = (Picture("a.jpg"), Picture("b.jpg"), Picture(Path("c.jpg")), Clip(["d.jpg", "e.jpg"]))
    assert messages == (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Compare"), *media)),
    )
    assert media_of(messages) == media


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], "at least one"),
        ("Hello", "must be a list"),
        ({"role": "user", "content": "Hello"}, "must be a list"),
        (["Hello"], r"messages\[0\] must be an object with role and content, not str"),
        ([{"role": "user", "content": "a"}, {"content": "b"}], r"messages\[1\] has the role None"),
        ([{"role": "tool", "content": "a"}], r"role 'tool'; known are system, user, assistant"),
        ([{"role": "user"}], r"content of messages\[0\] must be .* not nothing"),
        ([{"role": "user", "content": []}], "not an empty list"),
        ([{"role": "user", "content": 3}], "not int"),
        ([{"role": "user", "content": ["a"]}], r"messages\[0\]\.content\[0\] must be an object"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "type 'audio'; known are text, image_url"),
        ([{"role": "user", "content": [{"text": "a"}]}], "type None"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\]\.text must be a string"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"content\[0\] lacks 'image'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "lacks 'url'"),
        ([{"role": "user", "content": [{"type": "image", "image": ""}]}], "lacks 'image'"),
        ([{"role": "user", "content": [{"type": "video", "video": []}]}], "lacks 'video'"),
    ],
)
def test_mistakes_are_named(messages: Any, expected: str) -> None:
    with pytest.raises(PromptError, match=expected):
        parse_messages(messages)
