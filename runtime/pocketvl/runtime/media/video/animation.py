"""Animated GIF, WebP and PNG as videos, decoded by Pillow."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from pocketvl.runtime.errors import VideoError
from pocketvl.runtime.media.image import open_image
from pocketvl.runtime.media.image_format import open_encoded
from pocketvl.runtime.media.video.frame_source import Opener, damage_named
from pocketvl.runtime.media.video.sampling import VideoInfo

_STARTS = re.compile(rb"GIF8[79]a|RIFF.{4}WEBP|\x89PNG\r\n\x1a\n|\xff\xd8\xff", re.DOTALL)
_MOST_FRAMES = 1 << 14
_MOST_PIXELS = 1 << 36  # of all frames, which are decoded one by one
_DEFAULT = 100.0  # milliseconds of a frame that says nothing or 0, as browsers show it


def is_animation(head: bytes) -> bool:
    """Whether a file that begins so is for Pillow: also a still PNG or JPEG, to say that it is one."""
    return _STARTS.match(head) is not None


class Animation:
    def __init__(self, opener: Opener, name: str) -> None:
        """Reads all frames once for their times. Raises VideoError, ImageError."""
        self._opener = opener
        self._name = name
        self.notes: list[str] = []
        with opener() as file, open_encoded(file, name) as image:
            count, (width, height) = getattr(image, "n_frames", 1), image.size
            if count == 1:
                raise VideoError(f"{name} is a still image; give it as an image.")
            if count > _MOST_FRAMES or count * width * height > _MOST_PIXELS:
                raise VideoError(
                    f"{name} has {count} frames of {width}x{height} pixels (the limits are {_MOST_FRAMES}"
                    f" frames and {_MOST_PIXELS} pixels in all); save it as MP4."
                )
            lasting = [_seconds(_at(image, index)) for index in range(count)]
        times = [0.0, *itertools.accumulate(lasting)]
        self.info = VideoInfo(name, count, (height, width), times[:-1], times[-1])

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[Image.Image]:
        """See FrameSource."""
        with damage_named(self._name), self._opener() as file, open_encoded(file, self._name) as image:
            for index in indices:
                frame = _at(image, index).copy()
                with open_image(frame) as opened:
                    yield opened.read(size)


def _at(image: Image.Image, index: int) -> Image.Image:
    image.seek(index)
    image.load()
    return image


def _seconds(frame: Image.Image) -> float:
    duration: Any = frame.info.get("duration")
    return (duration if isinstance(duration, int | float) and duration > 0 else _DEFAULT) / 1000
