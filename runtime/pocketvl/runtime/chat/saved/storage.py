"""A conversation in a file, to go on with after a restart: without its images, with their embeddings.

The file is one of tensor_file.py. Its text "conversation" is the JSON of _Saved below; its tensors are those
of slots.py and, named "cache." and what SavesCache calls them, keys and values of the first slots. It
goes with bundles of the same files alone: another model's embeddings and keys mean nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.strict import from_json, to_json
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.saved.messages import StoredMessage, message_of, stored
from pocketvl.runtime.chat.saved.slots import (
    StoredImage,
    StoredSlots,
    feed_of,
    media_numbers,
    stored_slots,
)
from pocketvl.runtime.chat.saved.tensor_file import read_tensors, write_tensors
from pocketvl.runtime.decoding.feed import Feed
from pocketvl.runtime.errors import ConversationError, ManifestError, PromptError, UsageError
from pocketvl.runtime.files import shortened
from pocketvl.runtime.media.encoder import EncodedImage
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, Message, Part, VideoPart, media_of
from pocketvl.runtime.text.tools.tool import NO_TOOLS, Tool, ToolSet, tool_set

VERSION = 1

_TEXT = "conversation"
_CACHE = "cache."


@dataclass(frozen=True)
class SessionOptions:
    """What a session was made with; its system turn is a message."""

    min_pixels: int | None = None
    max_pixels: int | None = None
    add_vision_id: bool = False
    stop_repetition: bool = True


@dataclass(frozen=True)
class SavedChat:
    """cache: keys and values of the conversation's first `cached_slots` slots; empty where the engine gave
    none."""

    options: SessionOptions
    conversation: Conversation
    cached_slots: int
    cache: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Turn:
    """How much of everything a conversation has that this one begins with; the last is all of it."""

    messages: int
    slots: int
    image_sizes: int
    answer_start: int


@dataclass(frozen=True)
class _Saved:
    version: int
    bundle: str  # Manifest.content_sha256
    target: str
    options: SessionOptions
    messages: tuple[StoredMessage, ...]
    tools: str  # JSON of those that the system turn describes, "[]" for none
    parallel_tool_calls: bool
    turns: tuple[_Turn, ...]
    image_sizes: tuple[tuple[int, int], ...]  # height, width in pixels
    images: tuple[StoredImage, ...]
    media: tuple[int, ...]
    cached_slots: int


def write_chat(path: Path, manifest: Manifest, chat: SavedChat) -> None:
    """Replace the file `path`, or leave it as it was. Raises ConversationError."""
    last = chat.conversation
    slots = stored_slots(last.feed)
    saved = _Saved(
        version=VERSION,
        bundle=manifest.content_sha256,
        target=manifest.target,
        options=chat.options,
        messages=tuple(stored(message) for message in last.messages),
        tools=json.dumps([_tool(tool) for tool in last.tools]),
        parallel_tool_calls=last.tools.parallel,
        turns=tuple(
            _Turn(len(one.messages), len(one.feed), len(one.image_sizes), one.answer_start)
            for one in reversed(list(_beginnings(last)))
        ),
        image_sizes=last.image_sizes,
        images=slots.images,
        media=slots.media,
        cached_slots=chat.cached_slots,
    )
    cache = {f"{_CACHE}{name}": tensor for name, tensor in chat.cache.items()}
    try:
        write_tensors(path, {**slots.tensors, **cache}, {_TEXT: json.dumps(to_json(saved))})
    except OSError as error:
        raise ConversationError(
            f"The conversation cannot be saved as {shortened(path)} ({error.strerror or error}); check the"
            " path and the space there."
        ) from None


def read_chat(path: Path, manifest: Manifest) -> SavedChat:
    """What write_chat wrote with a bundle of the same files. Raises ConversationError for anything else."""
    texts, tensors = read_tensors(path, _most_data(manifest), ConversationError)
    try:
        saved = from_json(_Saved, json.loads(texts.get(_TEXT, "null")), "the conversation")
        if saved.version != VERSION:
            raise ValueError(f"it has the version {saved.version}, but this pocketvl reads {VERSION}")
        if (saved.bundle, saved.target) != (manifest.content_sha256, manifest.target):
            raise ConversationError(
                f"{shortened(path)} was saved with another bundle; open it with that one, or begin anew."
            )
        cache = {name[len(_CACHE) :]: value for name, value in tensors.items() if name.startswith(_CACHE)}
        others = {name: value for name, value in tensors.items() if not name.startswith(_CACHE)}
        feed = feed_of(StoredSlots(saved.images, saved.media, others), manifest)
        if not 0 <= saved.cached_slots <= len(feed) or bool(cache) != bool(saved.cached_slots):
            raise ValueError("its keys and values are of other slots")
        return SavedChat(saved.options, _conversation(saved, feed, manifest), saved.cached_slots, cache)
    except (ValueError, RecursionError, ManifestError, PromptError) as error:
        reason = str(error).rstrip(".")
        raise ConversationError(
            f"{shortened(path)} is no saved conversation of this pocketvl ({reason})."
        ) from None


def _beginnings(conversation: Conversation) -> Iterator[Conversation]:
    """It and all that came before, the shortest last."""
    one: Conversation | None = conversation
    while one is not None:
        yield one
        one = one.before


def _most_data(manifest: Manifest) -> int:
    """Bytes of the largest conversation that a bundle's context holds."""
    text = manifest.geometry.text
    cache = text.num_layers * 2 * text.num_kv_heads * text.head_dim * 4
    return (manifest.max_context + 1) * (cache + text.hidden_size * 4 + 5 * 8)


def _conversation(saved: _Saved, feed: Feed, manifest: Manifest) -> Conversation:
    """Raises ValueError."""
    sizes = saved.image_sizes
    if not all(height > 0 and width > 0 for height, width in sizes):
        raise ValueError("an image has no size")
    parsed = [message_of(message) for message in saved.messages]
    messages = _with_embeddings(parsed, feed, sizes, manifest.geometry.vision.patch_size)
    numbers = media_numbers(feed).tolist()
    tools = _tools(saved)
    found: Conversation | None = None
    for turn in saved.turns:
        if not _follows(turn, found, messages):
            raise ValueError("its turns are out of order")
        if turn.slots > len(feed) or turn.image_sizes > len(sizes):
            raise ValueError("a turn is longer than all of them")
        for cut in (turn.answer_start, turn.slots):
            if 0 < cut < len(feed) and numbers[cut - 1] == numbers[cut] >= 0:
                raise ValueError("a turn ends within an image")
        own = sizes[: turn.image_sizes]
        so_far, slots = messages[: turn.messages], feed.first(turn.slots)
        own_tools = tools if turn.slots else NO_TOOLS  # named with the first question
        found = Conversation(so_far, slots, own, found, turn.answer_start, own_tools)
    if found is None or (len(found.messages), len(found.feed), len(found.image_sizes)) != (
        len(messages),
        len(feed),
        len(sizes),
    ):
        raise ValueError("its turns are not all of it")
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _tools(saved: _Saved) -> ToolSet:
    """Without functions, which no file holds. Raises ValueError."""
    try:
        return tool_set(json.loads(saved.tools), saved.parallel_tool_calls)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _follows(turn: _Turn, before: Conversation | None, messages: Sequence[Message]) -> bool:
    """Whether a turn may come after that conversation, or at the start of all."""
    if not 0 <= turn.messages <= len(messages):
        return False
    if before is None:
        is_system = all(message.role == "system" for message in messages[: turn.messages])
        return is_system and (turn.slots, turn.image_sizes, turn.answer_start) == (0, 0, 0)
    return (
        turn.messages > len(before.messages)
        and messages[turn.messages - 1].role == "assistant"
        and len(before.feed) < turn.answer_start <= turn.slots
        and turn.image_sizes >= len(before.image_sizes)
    )


def _with_embeddings(
    messages: Sequence[Message], feed: Feed, sizes: Sequence[Size], side: int
) -> tuple[Message, ...]:
    """Each image and video has its embeddings as the source. side: of a patch, in pixels."""
    parts = media_of(messages)
    if len(parts) != len(feed.media) or sum(isinstance(part, ImagePart) for part in parts) != len(sizes):
        raise ValueError("its messages have other images than its slots")
    media, given = iter(feed.media), iter(sizes)

    def filled(part: Part) -> Part:
        if not isinstance(part, ImagePart | VideoPart):
            return part
        one = next(media)
        _, rows, columns = one.grid
        size = next(given) if isinstance(part, ImagePart) else (rows * side, columns * side)
        return replace(part, source=EncodedImage(one, size))

    return tuple(replace(message, parts=tuple(map(filled, message.parts))) for message in messages)
