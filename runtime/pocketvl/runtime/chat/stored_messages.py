"""Messages as JSON in a saved conversation; of an image only that it is there."""

from dataclasses import dataclass

from pocketvl.runtime.errors import ConversationError
from pocketvl.runtime.text.grounding import THOUSAND, Shape
from pocketvl.runtime.text.messages import ROLES, ImagePart, Message, ObjectRef, Part, Text, VideoPart

_SHAPES = {"box": 4, "quad": 8}


@dataclass(frozen=True)
class StoredPart:
    """text of a text or an object_ref; numbers of a box or a quad, in thousandths; neither of an image or a
    video."""

    type: str
    text: str | None = None
    numbers: tuple[float, ...] | None = None


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
        case ImagePart():
            return StoredPart("image")
        case VideoPart():
            return StoredPart("video")
    raise ConversationError(f"A message with a {type(part).__name__} cannot be saved; leave it out.")


def _part(part: StoredPart) -> Part:
    match part:
        case StoredPart("text", str(text), None):
            return Text(text)
        case StoredPart("object_ref", str(text), None):
            return ObjectRef(text)
        case StoredPart("box" | "quad" as kind, None, tuple(numbers)):
            if len(numbers) == _SHAPES[kind] and all(0 <= number <= THOUSAND for number in numbers):
                return Shape(kind, numbers)
        case StoredPart("image", None, None):
            return ImagePart(None)
        case StoredPart("video", None, None):
            return VideoPart(None)
    raise ValueError(f"it has a part of the type {part.type[:40]!r} that is none")
