"""Images to image embeddings: resize, patches, rope, encoder; each image encoded once."""

from dataclasses import dataclass
from typing import Any

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

    def tokens(self, prepared: PreparedImage) -> int:
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
