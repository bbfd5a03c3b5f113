"""Messages as JSON in a saved conversation; of an image only that it is there."""

import json
from dataclasses import dataclass

from pocketvl.runtime.errors import ConversationError
from pocketvl.runtime.text.grounding import THOUSAND, Shape
from pocketvl.runtime.text.messages import ROLES, ImagePart, Message, ObjectRef, Part, Text, VideoPart
from pocketvl.runtime.text.tools.tool import AnyToolCall, InvalidToolCall, ToolCall

_SHAPES = {"box": 4, "quad": 8}


@dataclass(frozen=True)
class StoredCall:
    """raw: the arguments as the model wrote them. arguments: the JSON that they are; reason: why there is
    none."""

    id: str
    name: str
    raw: str
    arguments: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class StoredPart:
    """text of a text or an object_ref; numbers of a box or a quad, in thousandths; call of a tool_call; none
    of them of an image or a video."""

    type: str
    text: str | None = None
    numbers: tuple[float, ...] | None = None
    call: StoredCall | None = None


@dataclass(frozen=True)
class StoredMessage:
    role: str
    parts: tuple[StoredPart, ...]


def stored(message: Message) -> StoredMessage:
    """Raises ConversationError for a part that cannot be saved."""
    return StoredMessage(message.role, tuple(_stored_part(part) for part in message.parts))


def message_of(message: StoredMessage) -> Message:
    """Its images have no source. Raises ValueError."""
    if message.role not in ROLES or not message.parts:
        raise ValueError("it has a message of no known role, or without content")
    return Message(message.role, tuple(_part(part) for part in message.parts))


def _stored_part(part: Part) -> StoredPart:
    match part:
        case Text(text):
            return StoredPart("text", text=text)
        case ObjectRef(text):
            return StoredPart("object_ref", text=text)
        case Shape(kind, numbers, in_pixels=False):
            return StoredPart(kind, numbers=numbers)
        case ImagePart() | VideoPart():
            return StoredPart("image" if isinstance(part, ImagePart) else "video")
        case ToolCall() | InvalidToolCall():
            return StoredPart("tool_call", call=_stored_call(part))
    raise ConversationError(f"A message with a {type(part).__name__} cannot be saved; leave it out.")


def _part(part: StoredPart) -> Part:
    match part:
        case StoredPart("text", str(text), None, None):
            return Text(text)
        case StoredPart("object_ref", str(text), None, None):
            return ObjectRef(text)
        case StoredPart("tool_call", None, None, StoredCall() as call):
            return _call(call)
        case StoredPart("box" | "quad" as kind, None, tuple(numbers), None):
            if len(numbers) == _SHAPES[kind] and all(0 <= number <= THOUSAND for number in numbers):
                return Shape(kind, numbers)
        case StoredPart("image", None, None, None):
            return ImagePart(None)
        case StoredPart("video", None, None, None):
            return VideoPart(None)
    raise ValueError(f"it has a part of the type {part.type[:40]!r} that is none")


def _stored_call(call: AnyToolCall) -> StoredCall:
    if isinstance(call, InvalidToolCall):
        return StoredCall(call.id, call.name, call.raw, reason=call.reason)
    return StoredCall(call.id, call.name, call.raw, arguments=json.dumps(dict(call.arguments)))


def _call(call: StoredCall) -> AnyToolCall:
    if call.arguments is None:
        return InvalidToolCall(call.id, call.name, call.raw, call.reason or "")
    arguments = json.loads(call.arguments)
    if not isinstance(arguments, dict):
        raise ValueError(f"the call {call.id[:40]!r} has arguments that are no object")
    return ToolCall(call.id, call.name, arguments, call.raw)
