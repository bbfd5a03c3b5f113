"""New messages to what the decoder is fed: media encoded, the prompt rendered, every token placed."""

import time
from dataclasses import dataclass
from threading import Event
from typing import Any

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.decoding.feed import Feed, Media, build_feed
from pocketvl.runtime.errors import ContextError
from pocketvl.runtime.media.encoder import PreparedImage, PreparedVideo, VisionPipeline
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, Message, VideoPart, media_of, with_thousandths
from pocketvl.runtime.text.prompt import PromptEncoder

Prepared = PreparedImage | PreparedVideo
_MOST_REMEDIES = 3  # videos of a turn for which it is said what would fit


@dataclass(frozen=True)
class EncodedTurn:
    """feed: the whole conversation up to where the answer begins. messages: the new ones. image_sizes: of all
    images so far. notes: sentences about new images and videos that were not read by the letter."""

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
        """`cancelled` may be set by any thread."""
        self._manifest = manifest
        self._prompts = prompts
        self._vision = vision
        self._keep_vision = keep_vision
        self._cancelled = cancelled

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        prepared = self._vision.prepare(image)
        return (*prepared.image.size, self._vision.tokens(prepared))

    def measure_video(self, part: VideoPart) -> tuple[int, int, int, int]:
        """(frames, width, height, tokens) as it would be encoded. Raises VideoError, PromptError."""
        prepared = self._vision.prepare_video(part.source, part.options)
        height, width = prepared.plan.size
        return len(prepared.plan.indices), width, height, self._vision.tokens(prepared)

    def encode(self, before: Conversation, new: tuple[Message, ...], turn: Turn) -> EncodedTurn | None:
        """None if cancelled: what was encoded so far is in the cache. Whatever can be refused is refused
        before the first image or frame is encoded. Damage within a video is found when its frames are read.

        Raises ImageError, PromptError, ContextError, UsageError, EngineError, BundleError.
        """
        prepared = self._prepare(new)
        given = (each.source_size for each in prepared if isinstance(each, PreparedImage))
        sizes = (*before.image_sizes, *given)
        new = with_thousandths(new, sizes, len(before.image_sizes))
        ids = self._token_ids(before, new, prepared)
        self._check_context(before, len(ids), prepared, turn)
        media = self._encode_media(prepared, turn)
        if media is None:
            return None
        merge = self._manifest.geometry.vision.spatial_merge_size
        start = before.feed.next_position
        feed = build_feed(ids, media, self._manifest.special_tokens, merge, start)
        notes = tuple(note for each in prepared for note in each.notes)
        return EncodedTurn(new, before.feed.then(feed), sizes, notes)

    def _prepare(self, new: tuple[Message, ...]) -> list[Prepared]:
        return [
            self._vision.prepare(part.source, part.size)
            if isinstance(part, ImagePart)
            else self._vision.prepare_video(part.source, part.options)
            for part in media_of(new)
        ]

    def _token_ids(
        self, before: Conversation, new: tuple[Message, ...], prepared: list[Prepared]
    ) -> list[int]:
        """Those that follow what was fed before."""
        counts = [self._vision.tokens(each) for each in prepared]
        if len(before.feed):
            return self._prompts.encode_continuation(before.messages, new, counts)
        return self._prompts.encode((*before.messages, *new), counts)

    def _check_context(
        self, before: Conversation, new_tokens: int, prepared: list[Prepared], turn: Turn
    ) -> None:
        used, limit = len(before.feed), self._manifest.max_context
        needed = used + new_tokens
        if needed > limit:
            earlier = f", {used} of them from earlier turns" if used else ""
            remedies = self._video_remedies(prepared, limit - needed, turn)
            raise ContextError(
                f"The prompt needs {needed} tokens{earlier}, but this bundle's context holds {limit};"
                f" {remedies}shorten it, lower --max-pixels, begin a new conversation, or export with a"
                " larger --max-context."
            )

    def _video_remedies(self, prepared: list[Prepared], spare: int, turn: Turn) -> str:
        """What to set so that the videos fit beside all else, with room for an answer."""
        videos = [each for each in prepared if isinstance(each, PreparedVideo)]
        tokens = [self._vision.tokens(video) for video in videos]
        room = sum(tokens) + spare
        room -= min(turn.max_tokens, room // 4)
        said = []
        for video, own in list(zip(videos, tokens, strict=True))[:_MOST_REMEDIES]:
            settings = self._vision.settings_that_fit(video, room * own // sum(tokens)) if room > 0 else []
            if settings:
                frames = len(video.plan.indices)
                said.append(
                    f"{video.source.info.name} ({frames} frames, {own} tokens) would fit with"
                    f" {' or '.join(settings)}; "
                )
        return "".join(said)

    def _encode_media(self, prepared: list[Prepared], turn: Turn) -> list[Media] | None:
        began = time.perf_counter()
        media: list[Media] = []
        try:
            for each in prepared:
                encoded = None if self._cancelled.is_set() else self._encode_one(each, turn)
                if encoded is None:
                    return None
                media.append(encoded)
        finally:  # an encoder that failed would stay otherwise, through turns without new images, too
            all_cached = len(media) == len(prepared) and not turn.images_encoded + turn.slices_encoded
            if not all_cached and not self._keep_vision:
                self._vision.release()
            turn.vision_seconds = time.perf_counter() - began
        return media

    def _encode_one(self, prepared: Prepared, turn: Turn) -> Media | None:
        if isinstance(prepared, PreparedVideo):
            clip = self._vision.encode_video(prepared, self._cancelled.is_set)
            if clip is None:
                return None
            encoded, cached = clip
            turn.slices_cached += cached
            turn.slices_encoded += encoded.grid[0] - cached
            return encoded
        encoded, was_cached = self._vision.encode(prepared)
        turn.images_cached += was_cached
        turn.images_encoded += not was_cached
        return encoded
