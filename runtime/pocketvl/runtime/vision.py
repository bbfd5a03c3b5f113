"""Pictures to image embeddings: resize, patches, rope, encoder; each picture encoded once."""

from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.geometry import ImageSettings
from pocketvl.runtime.image import content_key, open_image
from pocketvl.runtime.image_cache import EncodedImage, ImageCache
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.patches import Grid, grid_of, patchify
from pocketvl.runtime.positions import vision_rope
from pocketvl.runtime.resize import resize_to_bucket

_LONGEST_SIDE = 1 << 20
_MOST_PIXELS = _LONGEST_SIDE**2


@dataclass(frozen=True)
class PreparedImage:
    """A picture at the size in which it is encoded."""

    image: Image.Image
    grid: Grid
    key: str  # equal for equal pixels
    notes: tuple[str, ...] = ()  # what the user should know about how the image was read


class VisionPipeline:
    """prepare() is quick and says how many tokens a picture takes; encode() runs the encoder."""

    def __init__(self, manifest: Manifest, settings: ImageSettings, engine: Engine) -> None:
        self._vision = manifest.geometry.vision
        self._buckets = manifest.buckets
        self._settings = settings
        self._engine = engine
        self._cache = ImageCache()

    def prepare(
        self,
        source: Any,
        *,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        resized_height: int | None = None,
        resized_width: int | None = None,
    ) -> PreparedImage:
        """`source` is what open_image takes. The limits replace the pipeline's own for this image.

        resized_height and resized_width, in pixels, take the place of the image's own size; both go
        through smart_resize and its limits, as in fetch_image of qwen-vl-utils. Never larger than the
        bundle's largest bucket. Raises ImageError.
        """
        settings = _limited(self._settings, min_pixels, max_pixels)
        wanted = _wanted_size(resized_height, resized_width)
        with open_image(source) as opened:
            size = resize_to_bucket(*(wanted or opened.size), self._vision, settings, self._buckets)
            resized = opened.read(size)
        notes = tuple(opened.notes)
        return PreparedImage(resized, grid_of(*size, self._vision), content_key(resized), notes)

    def tokens(self, prepared: PreparedImage) -> int:
        t, h, w = prepared.grid
        return t * h * w // self._vision.merge_area

    def encode(self, prepared: PreparedImage) -> tuple[EncodedImage, bool]:
        """The embeddings, and whether they were cached. Raises EngineError."""
        cached = self._cache.get(prepared.key)
        if cached is not None:
            return cached, True
        grid = prepared.grid
        patches, _ = patchify(prepared.image, self._vision, self._settings)
        cos, sin = vision_rope(grid[1], grid[2], self._vision)
        encoded = EncodedImage(self._engine.encode_image(patches, cos, sin), grid)
        self._cache.put(prepared.key, encoded)
        return encoded, False


def _limited(settings: ImageSettings, min_pixels: int | None, max_pixels: int | None) -> ImageSettings:
    low = settings.min_pixels if min_pixels is None else _pixels("min_pixels", min_pixels, _MOST_PIXELS)
    high = settings.max_pixels if max_pixels is None else _pixels("max_pixels", max_pixels, _MOST_PIXELS)
    try:
        return replace(settings, min_pixels=low, max_pixels=high)
    except ValueError as error:
        raise ImageError(f"The image's pixel limits cannot be used: {error}; give both or others.") from None


def _wanted_size(height: int | None, width: int | None) -> tuple[int, int] | None:
    if height is None and width is None:
        return None
    if height is None or width is None:
        missing = "resized_height" if height is None else "resized_width"
        raise ImageError(f"An image that is to be resized lacks {missing}; give both sides or none.")
    return (_pixels("resized_height", height, _LONGEST_SIDE), _pixels("resized_width", width, _LONGEST_SIDE))


def _pixels(name: str, value: Any, most: int) -> int:
    """These come from messages, whose JSON holds anything."""
    if type(value) is not int or not 1 <= value <= most:
        found = "another" if type(value) is int else f"a {type(value).__name__}"
        raise ImageError(f"An image's {name} must be a whole number from 1 to {most}, not {found}.")
    return value
