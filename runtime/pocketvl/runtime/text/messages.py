"""Messages in the shapes of OpenAI's and Qwen's chat APIs, checked and made plain.

[{"role": "user", "content": "Hello"},
 {"role": "user", "content": [{"type": "text", "text": "What is this?"},
                              {"type": "image_url", "image_url": {"url": "cat.jpg", "detail": "low"}},
                              {"type": "image", "image": <what load_image takes>, "max_pixels": 50176},
                              {"type": "video", "video": <what open_video takes>, "fps": 1}]},
 {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function",
                                       "function": {"name": "tap", "arguments": {"x": 10}}}]},
 {"role": "tool", "tool_call_id": "call_0", "content": "done"}]

docs/scripts.md lists all kinds of parts. Nothing is ignored: a key that is not known is refused.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeGuard

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.image_size import AS_THE_SESSION, DETAILS, PIXEL_KEYS, ImageSize
from pocketvl.runtime.media.video.options import AS_THE_RULE, VIDEO_KEYS, VideoOptions, parse_video_options
from pocketvl.runtime.text.grounding import Shape, Size, in_thousandths, parse_shape
from pocketvl.runtime.text.tools.messages import has_calls, in_order_of_calls, parse_calls, result_id
from pocketvl.runtime.text.tools.tool import AnyToolCall, InvalidToolCall, ToolCall

ROLES = ("system", "user", "assistant", "tool")

_KEYS = {
    "assistant": ("role", "content", "tool_calls", "function_call"),
    "tool": ("role", "content", "tool_call_id", "name"),
}
_MAX_PIXELS = 1 << 30  # far above any bucket
_KINDS = "text, input_text, output_text, image, image_url, input_image, object_ref, box, quad and video"


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class ObjectRef:
    """The name of an object, between the tokens that mark it as one."""

    text: str


@dataclass(frozen=True)
class ImagePart:
    source: Any  # what image.load_image takes
    size: ImageSize = AS_THE_SESSION


@dataclass(frozen=True)
class VideoPart:
    source: Any  # what video/source.open_video takes
    options: VideoOptions = AS_THE_RULE


@dataclass(frozen=True)
class GoesOn:
    """The end of an assistant's message that goes on in the same turn; only prompts hold it."""


Media = ImagePart | VideoPart
Part = Text | ObjectRef | Shape | ImagePart | VideoPart | ToolCall | InvalidToolCall | GoesOn


@dataclass(frozen=True)
class Message:
    """Of the role tool: the result of one call; results are in the order of the calls before them."""

    role: str
    parts: tuple[Part, ...]

    @property
    def calls(self) -> tuple[AnyToolCall, ...]:
        """Of tools, by the assistant."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall | InvalidToolCall))


def parse_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Check and convert. Raises PromptError, which names the message and what is wrong with it."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise PromptError(
            'Messages must be a list with at least one {"role": ..., "content": ...};'
            ' write [{"role": "user", "content": "..."}].'
        )
    parsed: list[Message] = []
    for start, end in _runs(messages):
        new = [_message(messages[i], f"messages[{i}]") for i in range(start, end)]
        if new[0].role == "tool":
            calls = parsed[-1].calls if parsed else ()
            new = in_order_of_calls(calls, messages[start:end], new, f"messages[{start}]")
            if end < len(messages) and _role(messages[end]) != "assistant":
                raise PromptError(f"messages[{end}] must be the assistant's, which replies to the results.")
        parsed += new
    return tuple(parsed)


def parse_results(messages: Sequence[Mapping[str, Any]], calls: Sequence[AnyToolCall]) -> tuple[Message, ...]:
    """The results of all of these calls, and nothing else. Raises PromptError."""
    for i, message in enumerate(messages):
        if _role(message) != "tool":
            raise PromptError(
                f"messages[{i}] is no tool's; results are given alone, the answer goes on after."
            )
    parsed = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    return tuple(in_order_of_calls(calls, messages, parsed, "messages[0]"))


def _runs(messages: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where each message begins and ends, the results that follow each other as one."""
    start = 0
    for is_result, group in itertools.groupby(messages, lambda message: _role(message) == "tool"):
        size = len(list(group))
        yield from [(start, start + size)] if is_result else ((i, i + 1) for i in range(start, start + size))
        start += size


def _role(message: Any) -> Any:
    """ "function" is the older name of the role tool."""
    role = message.get("role") if isinstance(message, Mapping) else None
    return "tool" if role == "function" else role


def is_conversation(content: Any) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    """Whether it is a list of messages rather than one turn's text or parts: the first has a role."""
    if not isinstance(content, Sequence) or isinstance(content, (str, bytes)) or not content:
        return False
    return isinstance(content[0], Mapping) and "role" in content[0]


def are_results(content: Any) -> bool:
    """Whether it begins as results of tools do, which are no whole conversation."""
    return is_conversation(content) and _role(content[0]) == "tool"


def parse_conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """A whole one that waits for an answer: system first or nowhere, last a user's turn or tools' results."""
    parsed = parse_messages(messages)
    for i, message in enumerate(parsed):
        if message.role == "system" and i:
            raise PromptError(f"messages[{i}] is a system message; there can be one, and it comes first.")
    if parsed[-1].role not in ("user", "tool"):
        raise PromptError(
            f"The last message has the role {parsed[-1].role}; end with the user's, which is answered, or"
            " with a tool's result."
        )
    return parsed


def media_of(messages: Iterable[Message]) -> tuple[Media, ...]:
    """The images and videos in order of appearance."""
    return tuple(part for message in messages for part in message.parts if isinstance(part, Media))


def with_thousandths(messages: Sequence[Message], sizes: Sequence[Size], earlier: int) -> tuple[Message, ...]:
    """Their shapes in thousandths. `sizes` are those of the conversation's images, `earlier` of them before.

    Raises PromptError for a shape that lies in no image.
    """
    seen, changed = earlier, []
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            seen += isinstance(part, ImagePart)
            known = sizes if isinstance(part, Shape) and part.image is not None else sizes[:seen]
            parts.append(in_thousandths(part, known) if isinstance(part, Shape) else part)
        changed.append(Message(message.role, tuple(parts)))
    return tuple(changed)


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be an object with role and content, not {_kind(message)}.")
    role = _role(message)
    if role not in ROLES:
        raise PromptError(f"{where} has the role {role!r}; known are {', '.join(ROLES)}.")
    _check_keys(message, _KEYS.get(role, ("role", "content")), where)
    content = message.get("content")
    if role == "assistant" and has_calls(message):
        calls = parse_calls(message, where)
        return Message(role, (*(_parts(content, where) if content else ()), *calls))
    if role == "tool":
        result_id(message, where)
    return Message(role, _parts(content, where))


def _parts(content: Any, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)) or not content:
        raise PromptError(
            f"The content of {where} must be a string or a list of parts, not {_kind(content)};"
            ' a part is {"type": "text", "text": ...} or {"type": "image", "image": ...}.'
        )
    return tuple(_part(part, f"{where}.content[{i}]") for i, part in enumerate(content))


def _part(part: Any, where: str) -> Part:
    if not isinstance(part, Mapping):
        raise PromptError(f"{where} must be an object with a type, not {_kind(part)}.")
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return Text(_text(part, where))
        case "object_ref":
            return ObjectRef(_text(part, where))
        case "box" | "quad" as kind:
            _check_keys(part, ("type", kind, "pixels", "image"), where)
            return parse_shape(part, kind, where)
        case "image":
            return _image(part, "url" if "url" in part and "image" not in part else "image", where)
        case "image_url" | "input_image":
            return _image_url(part, where)
        case "video":
            _check_keys(part, ("type", "video", *VIDEO_KEYS), where)
            return VideoPart(_given(part, "video", where), parse_video_options(part, where))
        case other:
            raise PromptError(f"{where} has the type {other!r}; known are {_KINDS}.")


def _text(part: Mapping[str, Any], where: str) -> str:
    _check_keys(part, ("type", "text"), where)
    text = part.get("text")
    if not isinstance(text, str):
        raise PromptError(f"{where}.text must be a string, not {_kind(text)}.")
    return text


def _image(part: Mapping[str, Any], key: str, where: str) -> ImagePart:
    _check_keys(part, ("type", key, "detail", *PIXEL_KEYS), where)
    return ImagePart(_given(part, key, where), _size(part, where))


def _image_url(part: Mapping[str, Any], where: str) -> ImagePart:
    """The URL itself, or an object with it and maybe `detail`, which may also be beside it."""
    inner = part.get("image_url")
    if not isinstance(inner, Mapping):
        return _image(part, "image_url", where)
    if "detail" in part and "detail" in inner:
        raise PromptError(f"{where} gives detail twice; leave one out.")
    _check_keys(part, ("type", "image_url", "detail", *PIXEL_KEYS), where)
    _check_keys(inner, ("url", "detail"), f"{where}.image_url")
    return ImagePart(_given(inner, "url", f"{where}.image_url"), _size({**part, **inner}, where))


def _size(part: Mapping[str, Any], where: str) -> ImageSize:
    given = {key: part[key] for key in PIXEL_KEYS if part.get(key) is not None}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
            raise PromptError(f"{where}.{key} must be a whole number of pixels, 1 or more, not {value!r}.")
        if int(value) > _MAX_PIXELS:
            raise PromptError(f"{where}.{key} must be at most {_MAX_PIXELS}.")
    if ("resized_height" in given) != ("resized_width" in given):
        raise PromptError(f"{where} gives only one of resized_height and resized_width; give both.")
    detail: Any = part.get("detail") or "auto"
    if detail not in DETAILS:
        raise PromptError(f"{where} asks for the detail {detail!r}; known are {', '.join(DETAILS)}.")
    return ImageSize(**{key: int(value) for key, value in given.items()}, detail=detail)


def _check_keys(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in value:
        if key in known:
            continue
        if key in VIDEO_KEYS:
            raise PromptError(f"{where} has the key {key!r}, which is for videos; leave it out.")
        raise PromptError(f"{where} has the unknown key {key!r}; known are {', '.join(known)}.")


def _given(part: Mapping[str, Any], key: str, where: str) -> Any:
    value = part.get(key)
    if value is None or (isinstance(value, (str, bytes, bytearray, list, tuple)) and not value):
        raise PromptError(f"{where} lacks {key!r}; give the image or video there.")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "an empty list" if isinstance(value, (list, tuple)) and not value else type(value).__name__
