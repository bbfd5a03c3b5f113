"""Frames of a video file or a camera, at the time at which they are to be seen."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.extras import import_failure
from pocketvl.runtime.files import regular_size

Frame = NDArray[np.uint8]


def frames(source: Path) -> Iterator[Frame]:
    """RGB (height, width, 3), upright, each when its time has come; those that are late are left out.

    source: a video file, or a device of Video4Linux such as /dev/video0 (nobody has tried one yet). Raises
    ImageError, MissingExtraError.
    """
    try:
        import av
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "A live view of a video needs PyAV", "video") from None
    is_device = _is_device(source)
    if not is_device:
        regular_size(source, ImageError)
    try:
        with av.open(str(source), format="v4l2" if is_device else None) as container:
            if not container.streams.video:
                raise ImageError(f"{source} has no pictures in it; give a video file.")
            began: float | None = None
            for frame in container.decode(video=0):
                if is_device or frame.time is None:
                    yield _upright(frame)
                    continue
                began = time.monotonic() - frame.time if began is None else began
                early = began + frame.time - time.monotonic()
                if early < 0 and frame.time > 0 and -early > _LATE:
                    continue
                time.sleep(max(early, 0.0))
                yield _upright(frame)
    except av.FFmpegError as error:
        raise ImageError(
            f"{source} cannot be read as a video ({error.strerror}); try another file."
        ) from None


_LATE = 0.1  # seconds


def _is_device(source: Path) -> bool:
    try:
        return stat.S_ISCHR(source.stat().st_mode)
    except (OSError, ValueError):
        return False


def _upright(frame: Any) -> Frame:
    """As a phone's film says that it was held."""
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
