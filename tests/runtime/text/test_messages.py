"""Messages in every accepted shape, and each mistake named with its place."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.image_size import ImageSize
from pocketvl.runtime.media.video.options import VideoOptions
from pocketvl.runtime.text.grounding import Shape
from pocketvl.runtime.text.messages import (
    ImagePart,
    Message,
    ObjectRef,
    Text,
    VideoPart,
    is_conversation,
    media_of,
    parse_conversation,
    parse_messages,
    with_thousandths,
)


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
    media = (
        ImagePart("a.jpg", ImageSize(detail="low")),
        ImagePart("b.jpg"),
        ImagePart(Path("c.jpg")),
        VideoPart(["d.jpg", "e.jpg"]),
    )
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
        ([{"role": "robot", "content": "a"}], r"role 'robot'; known are system, user, assistant, tool"),
        ([{"role": "user"}], r"content of messages\[0\] must be .* not nothing"),
        ([{"role": "user", "content": []}], "not an empty list"),
        ([{"role": "user", "content": 3}], "not int"),
        ([{"role": "user", "content": ["a"]}], r"messages\[0\]\.content\[0\] must be an object"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "type 'audio'; known are text, input_text"),
        ([{"role": "user", "content": [{"text": "a"}]}], "type None"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\]\.text must be a string"),
        ([{"role": "user", "content": "a", "name": "b"}], r"messages\[0\] has the unknown key 'name'"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"content\[0\] lacks 'image'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "lacks 'url'"),
        ([{"role": "user", "content": [{"type": "image", "image": ""}]}], "lacks 'image'"),
        ([{"role": "user", "content": [{"type": "video", "video": []}]}], "lacks 'video'"),
    ],
)
def test_mistakes_are_named(messages: Any, expected: str) -> None:
    with pytest.raises(PromptError, match=expected):
        parse_messages(messages)


def part(**keys: Any) -> Any:
    (message,) = parse_messages([{"role": "user", "content": [keys]}])
    return message.parts[0]


IMAGE = {"type": "image", "image": "a.jpg"}
URL = {"type": "image_url", "image_url": {"url": "a.jpg"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "input_text", "text": "a"}, Text("a")),
        ({"type": "output_text", "text": "a"}, Text("a")),
        (
            {"type": "input_image", "image_url": "a.jpg", "detail": "high"},
            ("a.jpg", ImageSize(detail="high")),
        ),
        ({"type": "image", "url": "a.jpg"}, ("a.jpg", ImageSize())),
        (IMAGE | {"min_pixels": 3136, "max_pixels": 50176}, ("a.jpg", ImageSize(3136, 50176))),
        (
            IMAGE | {"resized_height": 280, "resized_width": 420, "min_pixels": None},
            ("a.jpg", ImageSize(resized_height=280, resized_width=420)),
        ),
        (URL | {"max_pixels": 50176, "detail": "low"}, ("a.jpg", ImageSize(max_pixels=50176, detail="low"))),
        (URL | {"detail": None}, ("a.jpg", ImageSize())),
        (IMAGE | {"max_pixels": np.int64(3136)}, ("a.jpg", ImageSize(max_pixels=3136))),
        ({"type": "object_ref", "text": "a cat"}, ObjectRef("a cat")),
        ({"type": "video", "video": "a.mp4"}, VideoPart("a.mp4")),
        ({"type": "video", "video": "a", "fps": 1, "nframes": None}, VideoPart("a", VideoOptions(fps=1.0))),
        ({"type": "box", "box": [1, 2, 3.5, 1000]}, Shape("box", (1, 2, 3.5, 1000))),
        (
            {"type": "box", "pixels": [1, 2, 3, 4000], "image": 1},
            Shape("box", (1, 2, 3, 4000), in_pixels=True, image=1),
        ),
        ({"type": "quad", "quad": list(range(8))}, Shape("quad", tuple(range(8)))),
    ],
)
def test_other_kinds_of_parts(given: dict[str, Any], expected: Any) -> None:
    assert part(**given) == (ImagePart(*expected) if isinstance(expected, tuple) else expected)


def test_bytes_and_arrays_are_kept_as_they_are() -> None:
    for source in (b"abc", bytearray(b"abc"), io.BytesIO(b"abc"), np.zeros((2, 2, 3), np.uint8)):
        assert part(type="image", image=source).source is source


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (IMAGE | {"fps": 2}, r"content\[0\] has the key 'fps', which is for videos"),
        (URL | {"nframes": 2}, "'nframes', which is for videos"),
        (IMAGE | {"size": 2}, "unknown key 'size'; known are type, image, detail, min_pixels"),
        ({"type": "image", "image": "a", "url": "b"}, "unknown key 'url'"),
        (
            {"type": "image_url", "image_url": {"url": "a", "width": 3}},
            r"image_url has the unknown key 'width'",
        ),
        ({"type": "text", "text": "a", "cache": 1}, "unknown key 'cache'; known are type, text"),
        (
            {"type": "video", "video": "a", "detail": "low"},
            "unknown key 'detail'; known are type, video, fps",
        ),
        ({"type": "video", "video": "a", "fps": 2, "nframes": 4}, r"content\[0\] gives both fps and nframes"),
        ({"type": "input_image", "file_id": "x"}, "unknown key 'file_id'"),
        (IMAGE | {"min_pixels": 0}, "min_pixels must be a whole number of pixels, 1 or more, not 0"),
        (IMAGE | {"max_pixels": 2.5}, "not 2.5"),
        (IMAGE | {"max_pixels": 10**400}, "at most 1073741824"),
        (IMAGE | {"max_pixels": True}, "not True"),
        (IMAGE | {"resized_height": 28}, "only one of resized_height and resized_width"),
        (IMAGE | {"detail": "tiny"}, "detail 'tiny'; known are auto, low, high"),
        ({"type": "image_url", "image_url": {"url": "a", "detail": "low"}, "detail": "low"}, "detail twice"),
        ({"type": "object_ref"}, "text must be a string, not nothing"),
        ({"type": "box", "box": [1, 2, 3]}, "list of 4 numbers"),
        ({"type": "box", "box": [1, 2, 3, "4"]}, "list of 4 numbers"),
        ({"type": "box", "box": b"abcd"}, "list of 4 numbers"),
        ({"type": "box", "box": [1, 2, 3, True]}, "list of 4 numbers"),
        ({"type": "box", "box": [1, 2, 3, float("nan")]}, "list of 4 numbers"),
        ({"type": "box", "box": [0, 0, 1, 1001]}, "holds 1001"),
        ({"type": "box", "box": [0, 0, 1, 10**400]}, "holds 1000"),
        ({"type": "box", "pixels": [0, 0, 1, -1]}, "holds -1"),
        ({"type": "box", "box": [5, 5, 5, 9]}, "encloses nothing"),
        ({"type": "box", "box": [1, 2, 3, 4], "pixels": [1, 2, 3, 4]}, "gives both"),
        ({"type": "box", "box": [1, 2, 3, 4], "image": 0}, "goes with 'pixels' alone"),
        ({"type": "box", "pixels": [1, 2, 3, 4], "image": -1}, "number of an image, from 0"),
        ({"type": "quad", "quad": [1, 2, 3, 4]}, "list of 8 numbers"),
        ({"type": "box", "quad": [1] * 8}, "unknown key 'quad'"),
    ],
)
def test_nothing_is_ignored(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(PromptError, match=expected):
        part(**given)


def test_a_conversation_is_told_from_one_turn() -> None:
    user: dict[str, Any] = {"role": "user", "content": "a"}
    answer, system = user | {"role": "assistant"}, user | {"role": "system"}
    assert is_conversation([user])
    assert not any(map(is_conversation, ("a", [], [IMAGE], b"a", None, 3)))
    assert [m.role for m in parse_conversation([system, user, answer, user])][1:3] == ["user", "assistant"]
    with pytest.raises(PromptError, match="last message has the role assistant"):
        parse_conversation([user, answer])
    with pytest.raises(PromptError, match=r"messages\[1\] is a system message"):
        parse_conversation([user, system, user])
    with pytest.raises(PromptError, match=r"messages\[1\] has the role None"):
        parse_conversation([user, IMAGE])


def test_boxes_in_pixels_belong_to_the_image_before_them_or_to_the_one_they_name() -> None:
    box = Shape("box", (10, 10, 20, 50), in_pixels=True)
    second = Shape("box", (10, 10, 20, 50), in_pixels=True, image=2)
    messages = [Message("user", (ImagePart("b"), box, ImagePart("c"), second))]
    (message,) = with_thousandths(messages, [(10, 10), (100, 200), (50, 20)], 1)
    assert message.parts[1] == Shape("box", (50, 100, 100, 500))
    assert message.parts[3] == Shape("box", (500, 200, 1000, 1000))
    with pytest.raises(PromptError, match="lies outside of image 0, which has 10x10 pixels"):
        with_thousandths([Message("user", (box,))], [(10, 10)], 1)
    with pytest.raises(PromptError, match="image 0, but there are 0 images"):
        with_thousandths([Message("user", (box, ImagePart("a")))], [(100, 100)], 0)
    with pytest.raises(PromptError, match="image 2, but there are 1 images"):
        with_thousandths([Message("user", (second,))], [(100, 100)], 1)
