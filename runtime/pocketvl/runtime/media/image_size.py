"""What a message says about the size of one image, and the size that it gets."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.media.resize import resize_to_bucket

Detail = Literal["auto", "low", "high"]
DETAILS = ("auto", "low", "high")


@dataclass(frozen=True)
class ImageSize:
    """The keys of Qwen's and OpenAI's image parts; what is None is as for every image of the session.

    resized_height and resized_width stand for the image's own height and width. detail "low" is at most the
    smallest bucket; "auto" and "high" change nothing.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    resized_height: int | None = None
    resized_width: int | None = None
    detail: Detail = "auto"


AS_THE_SESSION = ImageSize()
PIXEL_KEYS = tuple(field.name for field in fields(ImageSize) if field.name != "detail")


def image_size(
    height: int,
    width: int,
    wanted: ImageSize,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: tuple[int, ...],
) -> tuple[int, int]:
    """(height, width) in which an image of that size in pixels is encoded: multiples of vision.factor.

    The rule of qwen-vl-utils' smart_resize, but never above the largest bucket, whatever is wanted. Raises
    PromptError for limits that contradict each other, ImageError beyond 1:200.
    """
    limits = image_limits(wanted, settings)
    allowed = (min(buckets),) if wanted.detail == "low" else buckets
    return resize_to_bucket(
        wanted.resized_height or height, wanted.resized_width or width, vision, limits, allowed
    )


def image_limits(wanted: ImageSize, settings: ImageSettings) -> ImageSettings:
    """The settings with the pixel limits of one image. Raises PromptError."""
    least = settings.min_pixels if wanted.min_pixels is None else wanted.min_pixels
    most = settings.max_pixels if wanted.max_pixels is None else wanted.max_pixels
    if least > most:
        raise PromptError(
            f"An image's min_pixels {least} lies above its max_pixels {most} (what a part does not give is"
            " the session's); give both."
        )
    return replace(settings, min_pixels=least, max_pixels=most)


def session_limits(image: ImageSettings, min_pixels: int | None, max_pixels: int | None) -> ImageSettings:
    """The bundle's settings with the limits of a session. Raises UsageError."""
    try:
        return replace(
            image,
            min_pixels=image.min_pixels if min_pixels is None else min_pixels,
            max_pixels=image.max_pixels if max_pixels is None else max_pixels,
        )
    except ValueError as error:
        raise UsageError(f"These pixel limits cannot be used: {error}.") from None
