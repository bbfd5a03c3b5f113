"""The messages of a request, as a session takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.serve.errors import RequestError, request_error
from pocketvl.runtime.serve.image_files import ImageFiles
from pocketvl.runtime.text.messages import parse_conversation

MOST_IMAGES = 256  # all are decoded before the context is found to be too small
_SAME_ROLE = {"developer": "system"}
_VIDEOS = ("video", "video_url")
_PASSED_ON = ("text", "object_ref", "box", "quad")
# What OpenAI's client sends back of an answer, if it is empty.
_EMPTY: tuple[Any, ...] = (None, [], {})
_KEYS = ("role", "content", "tool_calls", "tool_call_id")


def session_messages(messages: Sequence[Mapping[str, Any]], files: ImageFiles) -> list[dict[str, Any]]:
    """For ChatSession.stream, which finds nothing more to refuse in their form. Raises RequestError."""
    found = [_message(message, f"messages[{i}]", files) for i, message in enumerate(messages)]
    contents = [message["content"] for message in found if isinstance(message.get("content"), list)]
    if (
        sum(isinstance(part, dict) and "image_url" in part for parts in contents for part in parts)
        > MOST_IMAGES
    ):
        raise RequestError(
            400, f"The messages have more than {MOST_IMAGES} images; leave some out.", param="messages"
        )
    try:
        parse_conversation(found)
    except PocketVLError as failure:
        raise request_error(failure) from None
    return found


def _message(message: Mapping[str, Any], where: str, files: ImageFiles) -> dict[str, Any]:
    given = {key: value for key, value in message.items() if key == "content" or value not in _EMPTY}
    role = given.get("role")
    if isinstance(role, str):
        role = given["role"] = _SAME_ROLE.get(role, role)
    for key in given:
        if key not in _KEYS:
            raise _unsupported(f"{where}.{key}", f"{where}.{key} is not supported; leave it out.")
    content = given.get("content")
    if isinstance(content, list):
        given["content"] = [_part(part, f"{where}.content[{i}]", files) for i, part in enumerate(content)]
    return given


def _part(part: Any, where: str, files: ImageFiles) -> Any:
    """What is no object or has no known type is left for parse_conversation to refuse."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        return _image(part, where, files)
    if isinstance(part, dict) and kind in _VIDEOS:
        return _video(part, str(kind), where, files)
    if isinstance(part, dict) and kind not in _PASSED_ON:
        known = ", ".join((*_PASSED_ON, "image_url", *_VIDEOS))
        raise _unsupported(f"{where}.type", f"{where} has the type {kind!r}; known are {known}.")
    return part


def _image(part: dict[str, Any], where: str, files: ImageFiles) -> dict[str, Any]:
    """Its source in the place of the URL, which is a string or an object with url and maybe detail."""
    inner = part.get("image_url")
    url = inner.get("url") if isinstance(inner, dict) else inner
    if not isinstance(url, str) or not url:
        raise RequestError(
            400, f"{where}.image_url must have a url.", param=f"{where}.image_url", code="invalid_value"
        )
    source = files.source(url, f"{where}.image_url.url" if isinstance(inner, dict) else f"{where}.image_url")
    return {**part, "image_url": {**inner, "url": source} if isinstance(inner, dict) else source}


def _video(part: dict[str, Any], kind: str, where: str, files: ImageFiles) -> dict[str, Any]:
    """Qwen's part with what its URL names: {"type": "video_url", "video_url": {"url": ..}} of one video, or
    {"type": "video", "video": [..]} of its frames. Its options stay."""
    given, where = part.get(kind), f"{where}.{kind}"
    given = given.get("url") if kind == "video_url" and isinstance(given, dict) else given
    urls = given if isinstance(given, list) and kind == "video" else [given]
    if not urls or not all(isinstance(url, str) and url for url in urls):
        raise RequestError(400, f"{where} must have a url.", param=where, code="invalid_value")
    sources = [files.source(str(url), where) for url in urls]
    options = {key: value for key, value in part.items() if key not in ("type", kind)}
    return {**options, "type": "video", "video": sources if isinstance(given, list) else sources[0]}


def _unsupported(param: str, message: str) -> RequestError:
    return RequestError(400, message, param=param, code="unsupported_parameter")
