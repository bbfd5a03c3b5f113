"""The messages of a request, as a session takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.serve.errors import RequestError, request_error
from pocketvl.runtime.serve.image_files import ImageFiles
from pocketvl.runtime.text.messages import ROLES, parse_conversation

MOST_IMAGES = 256  # all are decoded before the context is found to be too small
_SAME_ROLE = {"developer": "system"}
_VIDEOS = ("video", "video_url", "input_video")
_PASSED_ON = ("text", "object_ref", "box", "quad")
# What OpenAI's client sends back of an answer, if it is empty.
_EMPTY: tuple[Any, ...] = (None, [], {})
_TOOL_KEYS = ("tool_calls", "tool_call_id")


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
        if key in _TOOL_KEYS or key not in ("role", "content"):
            _check_tool_key(key, where)
    if role == "tool" and role not in ROLES:
        raise _unsupported(f"{where}.role", "The role tool is not supported by this build.")
    content = given.get("content")
    if isinstance(content, list):
        given["content"] = [_part(part, f"{where}.content[{i}]", files) for i, part in enumerate(content)]
    return given


def _check_tool_key(key: str, where: str) -> None:
    if key in _TOOL_KEYS and "tool" in ROLES:
        return
    reason = "is not supported by this build" if key in _TOOL_KEYS else "is not supported"
    raise _unsupported(f"{where}.{key}", f"{where}.{key} {reason}; leave it out.")


def _part(part: Any, where: str, files: ImageFiles) -> Any:
    """What is no object or has no known type is left for parse_conversation to refuse."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        return _image(part, where, files)
    if kind in _VIDEOS:
        raise _unsupported(f"{where}.type", f"{where}: videos are not supported by this build; send frames.")
    if isinstance(part, dict) and kind not in _PASSED_ON:
        known = ", ".join((*_PASSED_ON, "image_url"))
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


def _unsupported(param: str, message: str) -> RequestError:
    return RequestError(400, message, param=param, code="unsupported_parameter")
