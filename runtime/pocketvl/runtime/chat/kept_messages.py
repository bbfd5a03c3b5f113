"""What a conversation keeps of its messages: not what was encoded, whose embeddings it has."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pocketvl.runtime.text.messages import Media, Message, Part

_LONGEST_NAME = 4096  # characters; longer texts are base64 or data: URLs


@dataclass(frozen=True)
class Encoded:
    """In place of the bytes, pixels or text that an image or video was given as."""


def kept_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The same messages for a history: a path or short URL stays the source of its image, all else goes."""
    return tuple(replace(message, parts=tuple(map(_kept, message.parts))) for message in messages)


def _kept(part: Part) -> Part:
    if not isinstance(part, Media):
        return part
    source = part.source
    named = isinstance(source, os.PathLike) or (isinstance(source, str) and len(source) <= _LONGEST_NAME)
    return part if named else replace(part, source=Encoded())
