"""Images and videos to embeddings: resize, patches, rope, encoder; each image, each slice encoded once."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.decoding.feed import Media
from pocketvl.runtime.engine import VisionEngine
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.image import content_key, open_image
from pocketvl.runtime.media.image_cache import ImageCache
from pocketvl.runtime.media.image_size import AS_THE_SESSION, ImageSize, image_size
from pocketvl.runtime.media.patches import Grid, grid_of, patchify
from pocketvl.runtime.media.video.fit import settings_that_fit
from pocketvl.runtime.media.video.frame_source import FrameSource
from pocketvl.runtime.media.video.options import AS_THE_RULE, VideoOptions
from pocketvl.runtime.media.video.sampling import VideoPlan, plan_video
from pocketvl.runtime.media.video.source import open_video
from pocketvl.runtime.positions import vision_rope


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image that is encoded already: a message may give it where it would give the image."""

    media: Media
    source_size: tuple[int, int]  # height, width of the image as it was given, upright
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedImage:
    """An image at the size in which it is encoded."""

    image: Image.Image | None  # None where it is encoded already
    grid: Grid
    key: str  # equal for equal pixels
    source_size: tuple[int, int]  # height, width of the image as it was given, upright
    notes: tuple[str, ...] = ()  # what the user should know about how the image was read
    encoded: Media | None = None


@dataclass(frozen=True)
class PreparedVideo:
    """A video of which it is known what will be encoded; its frames are read by encode_video."""

    source: FrameSource
    options: VideoOptions
    plan: VideoPlan

    @property
    def grid(self) -> Grid:
        return self.plan.grid

    @property
    def notes(self) -> tuple[str, ...]:
        """Complete after the frames were read."""
        return tuple(self.source.notes)


class VisionPipeline:
    """prepare() is quick and says how many tokens an image takes; encode() runs the encoder."""

    def __init__(self, manifest: Manifest, settings: ImageSettings, engine: VisionEngine) -> None:
        self._vision = manifest.geometry.vision
        self._buckets = manifest.buckets
        self._settings = settings
        self._engine = engine
        self._cache = ImageCache()

    def prepare(self, source: Any, wanted: ImageSize = AS_THE_SESSION) -> PreparedImage:
        """`source` is an EncodedImage or what open_image takes.

        Raises ImageError, PromptError for limits that contradict each other or what is encoded.
        """
        if isinstance(source, EncodedImage):
            self._check(source, wanted)
            media = source.media
            return PreparedImage(None, media.grid, media.key, source.source_size, source.notes, media)
        with open_image(source) as opened:
            given = opened.size
            size = image_size(*given, wanted, self._vision, self._settings, self._buckets)
            resized = opened.read(size)
        grid = grid_of(*size, self._vision)
        return PreparedImage(resized, grid, content_key(resized), given, tuple(opened.notes))

    def encode_now(self, source: Any) -> EncodedImage:
        """Both steps. Raises what they raise."""
        prepared = self.prepare(source)
        media, _ = self.encode(prepared)
        return EncodedImage(media, prepared.source_size, prepared.notes)

    def remember(self, media: Media) -> None:
        """Have an image's embeddings without running the encoder."""
        self._cache.put(media.key, media)

    def prepare_video(self, source: Any, options: VideoOptions = AS_THE_RULE) -> PreparedVideo:
        """`source` is what open_video takes; at most one frame is decoded. Raises VideoError, PromptError."""
        opened = open_video(source, options.max_frames)
        if opened.info.times is None and options.fps is not None:
            opened.notes.append(f"{opened.info.name} has no times, so fps {options.fps:g} changes nothing.")
        return PreparedVideo(opened, options, self._plan(opened)(options))

    def settings_that_fit(self, video: PreparedVideo, room: int) -> list[str]:
        """Settings that bring a video that is too long to at most `room` tokens, see video/fit.py."""
        plan_with, factor = self._plan(video.source), self._vision.factor
        return settings_that_fit(video.source.info, video.options, video.plan, plan_with, factor, room)

    def _plan(self, source: FrameSource) -> Callable[[VideoOptions], VideoPlan]:
        return lambda options: plan_video(source.info, options, self._vision, self._settings, self._buckets)

    def tokens(self, prepared: PreparedImage | PreparedVideo) -> int:
        t, h, w = prepared.grid
        return t * h * w // self._vision.merge_area

    def encode(self, prepared: PreparedImage) -> tuple[Media, bool]:
        """The embeddings, and whether they were cached. Raises EngineError."""
        cached = prepared.encoded or self._cache.get(prepared.key)
        if cached is not None:
            return cached, True
        assert prepared.image is not None
        grid = prepared.grid
        patches, _ = patchify(prepared.image, self._vision, self._settings)
        cos, sin = vision_rope(grid[1], grid[2], self._vision)
        encoded = Media(grid, prepared.key, self._engine.encode(patches, cos, sin))
        self._cache.put(prepared.key, encoded)
        return encoded, False

    def encode_video(
        self, prepared: PreparedVideo, cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[Media, int] | None:
        """The embeddings, and how many of the slices were cached. Raises VideoError, EngineError.

        None where `cancelled`, which is asked before each slice. Two frames are in memory at a time. A
        slice's cache entry is a view of the video's embeddings.
        """
        slices, rows, columns = prepared.grid
        tokens = rows * columns // self._vision.merge_area
        embeddings = np.empty((slices * tokens, self._vision.output_size), np.float32)
        rope = vision_rope(rows, columns, self._vision)
        digest, cached_slices = hashlib.sha256(f"video {slices}".encode()), 0
        for number, frames in enumerate(self._slices(prepared)):
            if cancelled():
                return None
            key = _slice_key(frames)
            digest.update(key.encode())
            own = embeddings[number * tokens : (number + 1) * tokens]
            cached = self._cache.get(key)
            cached_slices += cached is not None
            if cached is None:
                own[:] = self._engine.encode(patchify(frames, self._vision, self._settings)[0], *rope)
            else:
                own[:] = cached.embeddings
            self._cache.put(key, Media((1, rows, columns), key, own))
        return Media(prepared.grid, digest.hexdigest(), embeddings), cached_slices

    def _slices(self, prepared: PreparedVideo) -> Iterator[Sequence[Image.Image]]:
        """The frames of one slice after the other."""
        frames = prepared.source.read(prepared.plan.indices, prepared.plan.size)
        while frames_of_slice := list(itertools.islice(frames, self._vision.temporal_patch_size)):
            yield frames_of_slice

    def _check(self, source: EncodedImage, wanted: ImageSize) -> None:
        if wanted != AS_THE_SESSION:
            raise PromptError("An image that is encoded already keeps its size; leave out the part's own.")
        size = source.media.embeddings.shape[1]
        if size != self._vision.output_size:
            raise PromptError(
                f"This image was encoded to {size} values a token, but this bundle takes"
                f" {self._vision.output_size}; encode it with a session of this bundle."
            )

    def release(self) -> None:
        """Free the encoder's memory until the next image that is not cached."""
        self._engine.release()


def _slice_key(frames: Sequence[Image.Image]) -> str:
    """Equal for equal pixels of all frames; never that of an image."""
    return hashlib.sha256(" ".join(["slice", *map(content_key, frames)]).encode()).hexdigest()
