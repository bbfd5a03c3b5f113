"""What every kind of video gives: frames one after the other, none of them kept."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from PIL import Image

from pocketvl.runtime.errors import PocketVLError, VideoError
from pocketvl.runtime.media.video.sampling import VideoInfo

Opener = Callable[[], AbstractContextManager[BinaryIO]]  # opens the encoded video from its beginning


class FrameSource(Protocol):
    """An opened video. Nothing of it is in memory but what `info` says."""

    info: VideoInfo
    notes: list[str]  # sentences about what was not read by the letter

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[Image.Image]:
        """The frames of those ascending indices, one after the other, upright RGB at size (height, width).

        One frame is decoded at a time and none is kept. Raises VideoError, ImageError.
        """


@contextlib.contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Whatever a decoder raises becomes a VideoError that names the video."""
    try:
        yield
    except PocketVLError:
        raise
    except MemoryError:
        raise VideoError(f"{name} does not fit into memory; scale it down first.") from None
    except Exception as error:  # each decoder has exceptions of its own
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VideoError(
            f"{name} cannot be read as a video ({reason}); is it one, and whole? Copy it again or save it"
            f" as MP4."
        ) from None
