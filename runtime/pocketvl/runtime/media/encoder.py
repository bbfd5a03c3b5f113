"""Images to image embeddings: resize, patches, rope, encoder; each image encoded once."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.decoding.feed import Media
from pocketvl.runtime.engine import VisionEngine
from pocketvl.runtime.media.image import content_key, open_image
from pocketvl.runtime.media.image_cache import ImageCache
from pocketvl.runtime.media.image_size import AS_THE_SESSION, ImageSize, image_size
from pocketvl.runtime.media.patches import Grid, grid_of, patchify
from pocketvl.runtime.positions import vision_rope


@dataclass(frozen=True)
class PreparedImage:
    """An image at the size in which it is encoded."""

    image: Image.Image
    grid: Grid
    key: str  # equal for equal pixels
    source_size: tuple[int, int]  # height, width of the image as it was given, upright
    notes: tuple[str, ...] = ()  # what the user should know about how the image was read


class VisionPipeline:
    """prepare() is quick and says how many tokens an image takes; encode() runs the encoder."""

    def __init__(self, manifest: Manifest, settings: ImageSettings, engine: VisionEngine) -> None:
        self._vision = manifest.geometry.vision
        self._buckets = manifest.buckets
        self._settings = settings
        self._engine = engine
        self._cache = ImageCache()

    def prepare(self, source: Any, wanted: ImageSize = AS_THE_SESSION) -> PreparedImage:
        """`source` is what open_image takes. Raises ImageError, PromptError for limits that contradict."""
        with open_image(source) as opened:
            given = opened.size
            size = image_size(*given, wanted, self._vision, self._settings, self._buckets)
            resized = opened.read(size)
        grid = grid_of(*size, self._vision)
        return PreparedImage(resized, grid, content_key(resized), given, tuple(opened.notes))

    def tokens(self, prepared: PreparedImage) -> int:
        t, h, w = prepared.grid
        return t * h * w // self._vision.merge_area

    def encode(self, prepared: PreparedImage) -> tuple[Media, bool]:
        """The embeddings, and whether they were cached. Raises EngineError."""
        cached = self._cache.get(prepared.key)
        if cached is not None:
            return cached, True
        grid = prepared.grid
        patches, _ = patchify(prepared.image, self._vision, self._settings)
        cos, sin = vision_rope(grid[1], grid[2], self._vision)
        encoded = Media(grid, prepared.key, self._engine.encode(patches, cos, sin))
        self._cache.put(prepared.key, encoded)
        return encoded, False

    def release(self) -> None:
        """Free the encoder's memory until the next image that is not cached."""
        self._engine.release()
