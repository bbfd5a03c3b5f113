"""Pictures to image embeddings: resize, patches, rope, encoder; each picture encoded once."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from pocketvl.runtime.decoding.feed import Media
from pocketvl.runtime.engine import VisionEngine
from pocketvl.runtime.geometry import ImageSettings
from pocketvl.runtime.image import content_key, load_image
from pocketvl.runtime.image_cache import ImageCache
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.patches import Grid, patchify
from pocketvl.runtime.positions import vision_rope
from pocketvl.runtime.resize import resize_image, resize_to_bucket


@dataclass(frozen=True)
class PreparedImage:
    """A picture at the size in which it is encoded."""

    image: Image.Image
    grid: Grid
    key: str  # equal for equal pixels


class VisionPipeline:
    """prepare() is quick and says how many tokens a picture takes; encode() runs the encoder."""

    def __init__(self, manifest: Manifest, settings: ImageSettings, engine: VisionEngine) -> None:
        self._vision = manifest.geometry.vision
        self._buckets = manifest.buckets
        self._settings = settings
        self._engine = engine
        self._cache = ImageCache()

    def prepare(self, source: Any) -> PreparedImage:
        """`source` is what load_image takes. Raises ImageError."""
        image = load_image(source)
        size = resize_to_bucket(image.height, image.width, self._vision, self._settings, self._buckets)
        resized = resize_image(image, size)
        patch = self._vision.patch_size
        return PreparedImage(resized, (1, size[0] // patch, size[1] // patch), content_key(resized))

    def tokens(self, prepared: PreparedImage) -> int:
        t, h, w = prepared.grid
        return t * h * w // self._vision.merge_area

    def encode(self, prepared: PreparedImage) -> tuple[Media, bool]:
        """The embeddings, and whether they were cached. Raises EngineError."""
        cached = self._cache.get(prepared.key)
        if cached is not None:
            return cached, True
        patches, grid = patchify(prepared.image, self._vision, self._settings)
        cos, sin = vision_rope(grid[1], grid[2], self._vision)
        encoded = Media(grid, prepared.key, self._engine.encode(patches, cos, sin))
        self._cache.put(prepared.key, encoded)
        return encoded, False
