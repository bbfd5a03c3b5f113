"""New messages to what the decoder is fed: media encoded, the prompt rendered, every token placed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.kept_messages import kept_messages
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.decoding.feed import Feed, Media, build_feed
from pocketvl.runtime.errors import ContextError, PromptError
from pocketvl.runtime.media.encoder import PreparedImage, PreparedVideo, VisionPipeline
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, Message, VideoPart, media_of, with_thousandths
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tools.format import in_tool_format

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

    def measure_video(self, part: VideoPart) -> tuple[int, int, int, int]:
        """(frames, width, height, tokens) as it would be encoded. Raises VideoError, PromptError."""
        prepared = self._vision.prepare_video(part.source, part.options)
        height, width = prepared.plan.size
        return len(prepared.plan.indices), width, height, self._vision.tokens(prepared)

    def encode(self, before: Conversation, new: tuple[Message, ...], turn: Turn) -> EncodedTurn:
        """Whatever can be refused is refused before the first image or frame is encoded; damage within a
        video is found when its frames are read. Once cancelled, what is left to encode has no embeddings.

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
        prepared = self._prepare(new)
        for media in held.feed.media:  # which the cache may have let go
            self._vision.remember(media)
        for part in _answered(held):
            own, count = len(part.messages) - len(start.messages), len(part.feed.media)
            if own < 1 or part.tools != start.tools or not self._begins_with(part, start, new, prepared):
                continue
            try:
                encoded = self._encode(part, new[own:], prepared[count:], turn)
            except ContextError:
                raise
            except PromptError:  # a template that rewrites earlier turns: all of it is written anew
                break
            turn.images_cached += count
            return part, encoded
        return start, self._encode(start, new, prepared, turn)

    def _begins_with(
        self, part: Conversation, start: Conversation, new: Sequence[Message], prepared: Sequence[Prepared]
    ) -> bool:
        """Whether the messages say what `part` says, about equal images. A question follows.

        Whether two videos are equal is known when their frames were read; then the KV cache compares keys.
        """
        count = len(part.feed.media)
        images = [each for each in prepared if isinstance(each, PreparedImage)]
        sizes = tuple(image.source_size for image in images)
        whole = (*start.messages, *with_thousandths(new, sizes, 0))
        return (
            len(whole) > len(part.messages)
            and all(isinstance(each, PreparedImage) for each in prepared[:count])
            and [image.key for image in images[:count]] == [media.key for media in part.feed.media]
            and sizes[:count] == part.image_sizes
            and [_said(message) for message in whole[: len(part.messages)]]
            == [_said(message) for message in part.messages]
        )

    def _encode(
        self, before: Conversation, new: tuple[Message, ...], prepared: list[Prepared], turn: Turn
    ) -> EncodedTurn:
        given = (each.source_size for each in prepared if isinstance(each, PreparedImage))
        sizes = (*before.image_sizes, *given)
        new = with_thousandths(new, sizes, len(before.image_sizes))
        ids = self._token_ids(before, new, prepared)
        self._check_context(before, len(ids), prepared, turn)
        media = self._encode_media(prepared, turn)
        merge = self._manifest.geometry.vision.spatial_merge_size
        start = before.feed.next_position
        feed = build_feed(ids, media, self._manifest.special_tokens, merge, start)
        notes = tuple(note for each in prepared for note in each.notes)
        return EncodedTurn(kept_messages(new), before.feed.then(feed), sizes, notes)

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
        if not len(before.feed):
            return self._prompts.encode(in_tool_format((*before.messages, *new), before.tools), counts)
        history = in_tool_format(before.messages, before.tools)
        following = in_tool_format(new, before.tools, beginning=False)
        return self._prompts.encode_continuation(history, following, counts)

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

    def _encode_media(self, prepared: list[Prepared], turn: Turn) -> list[Media]:
        began = time.perf_counter()
        media: list[Media] = []
        try:
            for each in prepared:
                media.append(self._encode_one(each, turn))
        finally:  # an encoder that failed would stay otherwise, through turns without new images, too
            none_ran = len(media) == len(prepared) and not turn.images_encoded + turn.slices_encoded
            if (not none_ran or self._cancelled.is_set()) and not self._keep_vision:
                self._vision.release()
            turn.vision_seconds = time.perf_counter() - began
        return media

    def _encode_one(self, prepared: Prepared, turn: Turn) -> Media:
        """Without embeddings once cancelled: the turn then ends before its prompt is fed."""
        nothing = Media(prepared.grid, "", np.empty((0, 0), np.float32))
        if self._cancelled.is_set():
            return nothing
        if isinstance(prepared, PreparedVideo):
            clip = self._vision.encode_video(prepared, self._cancelled.is_set)
            if clip is None:
                return nothing
            encoded, cached = clip
            turn.slices_cached += cached
            turn.slices_encoded += encoded.grid[0] - cached
            return encoded
        encoded, was_cached = self._vision.encode(prepared)
        turn.images_cached += was_cached
        turn.images_encoded += not was_cached
        return encoded


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
