"""Messages in the shape of OpenAI's chat API, checked and made plain.

[{"role": "user", "content": "Hello"},
 {"role": "user", "content": [{"type": "text", "text": "What is this?"},
                              {"type": "image_url", "image_url": {"url": "cat.jpg"}},
                              {"type": "image", "image": <path, bytes, data: URL, Pillow image>},
                              {"type": "video", "video": <path, or a list of pictures>}]}]
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketvl.runtime.errors import PromptError

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Picture:
    source: Any  # what image.load_image takes


@dataclass(frozen=True)
class Clip:
    source: Any  # a video file or a list of pictures


Media = Picture | Clip
Part = Text | Picture | Clip


@dataclass(frozen=True)
class Message:
    role: str
    parts: tuple[Part, ...]


def parse_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Check and convert. Raises PromptError, which names the message and what is wrong with it."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise PromptError(
            'Messages must be a list with at least one {"role": ..., "content": ...};'
            ' write [{"role": "user", "content": "..."}].'
        )
    return tuple(_message(message, f"messages[{i}]") for i, message in enumerate(messages))


def media_of(messages: Iterable[Message]) -> tuple[Media, ...]:
    """The pictures and clips in order of appearance."""
    return tuple(part for message in messages for part in message.parts if not isinstance(part, Text))


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be an object with role and content, not {_kind(message)}.")
    role = message.get("role")
    if role not in ROLES:
        raise PromptError(f"{where} has the role {role!r}; known are {', '.join(ROLES)}.")
    content = message.get("content")
    if isinstance(content, str):
        return Message(role, (Text(content),))
    if not isinstance(content, Sequence) or isinstance(content, bytes) or not content:
        raise PromptError(
            f"The content of {where} must be a string or a list of parts, not {_kind(content)};"
            ' a part is {"type": "text", "text": ...} or {"type": "image", "image": ...}.'
        )
    return Message(role, tuple(_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)))


def _part(part: Any, where: str) -> Part:
    if not isinstance(part, Mapping):
        raise PromptError(f"{where} must be an object with a type, not {_kind(part)}.")
    match part.get("type"):
        case "text":
            text = part.get("text")
            if not isinstance(text, str):
                raise PromptError(f"{where}.text must be a string, not {_kind(text)}.")
            return Text(text)
        case "image":
            return Picture(_given(part, "image", where))
        case "image_url":
            url = _given(part, "image_url", where)
            return Picture(_given(url, "url", f"{where}.image_url") if isinstance(url, Mapping) else url)
        case "video":
            return Clip(_given(part, "video", where))
        case other:
            raise PromptError(f"{where} has the type {other!r}; known are text, image_url, image and video.")


def _given(part: Mapping[str, Any], key: str, where: str) -> Any:
    value = part.get(key)
    if value is None or (isinstance(value, (str, bytes, list, tuple)) and not value):
        raise PromptError(f"{where} lacks {key!r}; give the picture or video there.")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "an empty list" if isinstance(value, (list, tuple)) and not value else type(value).__name__
