"""New messages to what the decoder is fed: images encoded, the prompt rendered, every token placed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.decoding.feed import Feed, Media, build_feed
from pocketvl.runtime.errors import ContextError, PromptError, UsageError
from pocketvl.runtime.media.encoder import PreparedImage, VisionPipeline
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, Message, VideoPart, media_of, with_thousandths
from pocketvl.runtime.text.prompt import PromptEncoder


@dataclass(frozen=True)
class EncodedTurn:
    """feed: the whole conversation up to where the answer begins. messages: the new ones. image_sizes: of all
    images so far. notes: sentences about new images that were not read by the letter."""

    messages: tuple[Message, ...]
    feed: Feed
    image_sizes: tuple[Size, ...]
    notes: tuple[str, ...]


class TurnEncoder:
    """For one session."""

    def __init__(
        self,
        manifest: Manifest,
        prompts: PromptEncoder,
        vision: VisionPipeline,
        keep_vision: bool,
        cancelled: Event,
    ) -> None:
        """cancelled: set by any thread; then no further image is encoded."""
        self._manifest = manifest
        self._prompts = prompts
        self._vision = vision
        self._keep_vision = keep_vision
        self._cancelled = cancelled

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        prepared = self._vision.prepare(image)
        side = self._manifest.geometry.vision.patch_size
        _, rows, columns = prepared.grid
        return columns * side, rows * side, self._vision.tokens(prepared)

    def count_tokens(self, before: Conversation, new: tuple[Message, ...]) -> int:
        """Of the prompt that encode would make. Raises ImageError, PromptError, UsageError."""
        return len(before.feed) + len(self._token_ids(before, new, self._prepare(new)))

    def encode(self, before: Conversation, new: tuple[Message, ...], turn: Turn) -> EncodedTurn:
        """Whatever can be refused is refused before the first image is encoded.

        Raises ImageError, PromptError, ContextError, UsageError, EngineError, BundleError.
        """
        return self._encode(before, new, self._prepare(new), turn)

    def encode_whole(
        self, held: Conversation, start: Conversation, new: tuple[Message, ...], turn: Turn
    ) -> tuple[Conversation, EncodedTurn]:
        """A whole conversation, which goes on after the longest part of `held` that it begins with.

        What such a part fed stays by its own ids: those of a text that an answer had need not be the ids that
        the model generated. start: what comes before all messages. Also returns the conversation that the
        turn follows. Errors as of encode.
        """
        images = self._prepare(new)
        for media in held.feed.media:  # which the cache may have let go
            self._vision.remember(media)
        for part in _answered(held):
            own, count = len(part.messages) - len(start.messages), len(part.feed.media)
            if own < 1 or not self._begins_with(part, start, new, images):
                continue
            try:
                encoded = self._encode(part, new[own:], images[count:], turn)
            except ContextError:
                raise
            except PromptError:  # a template that rewrites earlier turns: all of it is written anew
                break
            turn.images_cached += count
            return part, encoded
        return start, self._encode(start, new, images, turn)

    def _begins_with(
        self, part: Conversation, start: Conversation, new: Sequence[Message], images: Sequence[PreparedImage]
    ) -> bool:
        """Whether the messages say what `part` says, about equal images. A question follows."""
        count, sizes = len(part.feed.media), tuple(image.source_size for image in images)
        whole = (*start.messages, *with_thousandths(new, sizes, 0))
        keys = [media.key for media in part.feed.media]
        return (
            len(whole) > len(part.messages)
            and [image.key for image in images[:count]] == keys
            and sizes[:count] == part.image_sizes
            and [_said(message) for message in whole[: len(part.messages)]]
            == [_said(message) for message in part.messages]
        )

    def _encode(
        self, before: Conversation, new: tuple[Message, ...], images: list[PreparedImage], turn: Turn
    ) -> EncodedTurn:
        sizes = (*before.image_sizes, *(image.source_size for image in images))
        new = with_thousandths(new, sizes, len(before.image_sizes))
        ids = self._token_ids(before, new, images)
        self._check_context(len(before.feed) + len(ids), len(before.feed))
        media = self._encode_images(images, turn)
        merge = self._manifest.geometry.vision.spatial_merge_size
        start = before.feed.next_position
        feed = build_feed(ids, media, self._manifest.special_tokens, merge, start)
        notes = tuple(note for image in images for note in image.notes)
        return EncodedTurn(new, before.feed.then(feed), sizes, notes)

    def _prepare(self, new: tuple[Message, ...]) -> list[PreparedImage]:
        prepared = []
        for medium in media_of(new):
            if not isinstance(medium, ImagePart):
                raise UsageError("Videos cannot be asked about yet; give single frames as images.")
            prepared.append(self._vision.prepare(medium.source, medium.size))
        return prepared

    def _token_ids(
        self, before: Conversation, new: tuple[Message, ...], images: list[PreparedImage]
    ) -> list[int]:
        """Those that follow what was fed before."""
        counts = [self._vision.tokens(image) for image in images]
        if len(before.feed):
            return self._prompts.encode_continuation(before.messages, new, counts)
        return self._prompts.encode((*before.messages, *new), counts)

    def _check_context(self, needed: int, used: int) -> None:
        limit = self._manifest.max_context
        if needed > limit:
            earlier = f", {used} of them from earlier turns" if used else ""
            raise ContextError(
                f"The prompt needs {needed} tokens{earlier}, but this bundle's context holds {limit};"
                " shorten it, lower --max-pixels, begin a new conversation, or export with a larger"
                " --max-context."
            )

    def _encode_images(self, images: list[PreparedImage], turn: Turn) -> list[Media]:
        began = time.perf_counter()
        media = []
        try:
            for image in images:
                if self._cancelled.is_set():  # the turn ends before its prompt is fed; its ids are known
                    media.append(Media(image.grid, image.key, np.empty((0, 0), np.float32)))
                    continue
                encoded, was_cached = self._vision.encode(image)
                media.append(encoded)
                turn.images_cached += was_cached
                turn.images_encoded += not was_cached
        finally:  # an encoder that failed would stay otherwise, through turns without new images, too
            if (turn.images_encoded or len(media) < len(images)) and not self._keep_vision:
                self._vision.release()
        turn.vision_seconds = time.perf_counter() - began
        return media


def _answered(conversation: Conversation) -> Iterator[Conversation]:
    """The conversation and those before it that end with an answer, the longest first."""
    one: Conversation | None = conversation
    while one is not None and len(one.feed):
        yield one
        one = one.before


def _said(message: Message) -> tuple[object, ...]:
    """What a message says, its images left out; their keys are compared."""
    media = ImagePart | VideoPart
    return message.role, *(type(part) if isinstance(part, media) else part for part in message.parts)
