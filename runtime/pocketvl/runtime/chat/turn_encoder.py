"""New messages to what the decoder is fed: images encoded, the prompt rendered, every token placed."""

import time
from dataclasses import dataclass
from typing import Any

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.decoding.feed import Feed, Media, build_feed
from pocketvl.runtime.errors import ContextError, UsageError
from pocketvl.runtime.media.encoder import PreparedImage, VisionPipeline
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, Message, media_of, with_thousandths
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tool_format import in_tool_format


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
        self, manifest: Manifest, prompts: PromptEncoder, vision: VisionPipeline, keep_vision: bool
    ) -> None:
        self._manifest = manifest
        self._prompts = prompts
        self._vision = vision
        self._keep_vision = keep_vision

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        prepared = self._vision.prepare(image)
        return (*prepared.image.size, self._vision.tokens(prepared))

    def encode(self, before: Conversation, new: tuple[Message, ...], turn: Turn) -> EncodedTurn:
        """Whatever can be refused is refused before the first image is encoded.

        Raises ImageError, PromptError, ContextError, UsageError, EngineError, BundleError.
        """
        images = self._prepare(new)
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
        if not len(before.feed):
            return self._prompts.encode(in_tool_format((*before.messages, *new), before.tools), counts)
        history = in_tool_format(before.messages, before.tools)
        following = in_tool_format(new, before.tools, beginning=False)
        return self._prompts.encode_continuation(history, following, counts)

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
                encoded, was_cached = self._vision.encode(image)
                media.append(encoded)
                turn.images_cached += was_cached
                turn.images_encoded += not was_cached
        finally:  # an encoder that failed would stay otherwise, through turns without new images, too
            if turn.images_cached < len(images) and not self._keep_vision:
                self._vision.release()
        turn.vision_seconds = time.perf_counter() - began
        return media
