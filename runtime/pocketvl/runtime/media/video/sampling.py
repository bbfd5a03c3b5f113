"""Which frames of a video are encoded, and how large: the rule of qwen-vl-utils, the model's own utility.

Nothing here reads a video: what it takes is known before any frame is encoded. Frames are taken
temporal_patch_size (two) at a time, a slice each. Where the versions of qwen-vl-utils differ, this follows
the newer: the number of frames is rounded down to an even one, and total_pixels holds for an explicit
max_pixels, too.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.errors import PromptError, VideoError
from pocketvl.runtime.media.patches import Grid, grid_of
from pocketvl.runtime.media.resize import resize_to_bucket
from pocketvl.runtime.media.video.options import VideoOptions

FPS = 2.0
MIN_FRAMES, MAX_FRAMES = 4, 768
# Tokens of a frame, and of all slices together; a token is vision.factor^2 pixels.
MIN_TOKENS, MAX_TOKENS, TOTAL_TOKENS = 128, 768, 24576
_ABOVE_MIN = 1.05  # how far above min_pixels a frame may get whatever the total says
_TOLERANCE = 1e-6  # seconds, or frames: 19.9999999 frames are 20


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read.

    size: (height, width) of the upright frames in pixels. times: of each frame in ascending order, in
    seconds after the first one; None for a list of frames, which has no times. seconds: how long the video
    lasts.
    """

    name: str  # for messages
    frames: int
    size: tuple[int, int]
    times: Sequence[float] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class VideoPlan:
    """indices: frames to encode, ascending, a multiple of temporal_patch_size of them. size: (height, width)
    in pixels. grid: patches along (t, h, w), t being slices."""

    indices: tuple[int, ...]
    size: tuple[int, int]
    grid: Grid


def plan_video(
    info: VideoInfo,
    wanted: VideoOptions,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: Sequence[int],
) -> VideoPlan:
    """What of a video is encoded. Raises VideoError, PromptError for limits that contradict each other."""
    indices = sample_frames(info, wanted, vision.temporal_patch_size)
    size = frame_size(info.size, len(indices), wanted, vision, settings, buckets)
    grid = grid_of(*size, vision, len(indices) // vision.temporal_patch_size)
    return VideoPlan(indices, size, grid)


def sample_frames(info: VideoInfo, wanted: VideoOptions, factor: int = 2) -> tuple[int, ...]:
    """The frames to take, spread evenly from the first to the last of the range, a multiple of `factor`.

    nframes frames; else those of `fps` (2), but at least min_frames (4) and at most max_frames (768), and no
    more than there are. A list of frames is taken whole up to max_frames, its last one repeated if need be;
    a single frame is taken `factor` times, as an image is. Raises VideoError.
    """
    first, last = frame_range(info, wanted)
    there = last - first + 1
    if info.times is None and wanted.min_frames is not None:
        raise VideoError(
            f"{info.name} is a list of frames, for which min_frames means nothing; leave it out."
        )
    if wanted.nframes is not None:
        count = round(wanted.nframes / factor) * factor  # halves to the even number: 5 becomes 4
        if not factor <= count <= there:
            most = there // factor * factor
            raise VideoError(
                f"{info.name} has {there} frames to take, so that nframes {wanted.nframes} (rounded to a"
                f" multiple of {factor}: {count}) cannot be taken; give {factor} to {most}, or leave"
                " nframes out."
            )
    elif info.times is None and there <= _bound(wanted.max_frames, factor):
        padded = list(range(first, last + 1))
        return tuple(padded + [last] * (-there % factor))
    else:
        count = _count(info, wanted, there, factor)
    if there < factor:
        return (first,) * factor
    return tuple(first + index for index in spread(there, count))


def spread(there: int, count: int) -> list[int]:
    """linspace(0, there - 1, count), rounded with halves to the even number, in exact arithmetic."""
    indices = []
    for k in range(count):
        whole, rest = divmod(k * (there - 1), count - 1)
        indices.append(whole + (2 * rest > count - 1 or (2 * rest == count - 1 and whole % 2 == 1)))
    return indices


def frame_range(info: VideoInfo, wanted: VideoOptions) -> tuple[int, int]:
    """First and last frame from video_start to video_end, both included. Raises VideoError."""
    start, end = wanted.video_start, wanted.video_end
    if start is None and end is None:
        return 0, info.frames - 1
    if info.times is None:
        raise VideoError(
            f"{info.name} is a list of frames without times; leave out video_start and video_end, and"
            " give only the frames that are meant."
        )
    first = 0 if start is None else bisect.bisect_left(info.times, start - _TOLERANCE)
    last = info.frames - 1 if end is None else bisect.bisect_right(info.times, end + _TOLERANCE) - 1
    if first > last:
        raise VideoError(
            f"{info.name} has no frame from {start or 0:g} s to {info.seconds if end is None else end:g} s;"
            f" it lasts {info.seconds:.2f} s and has {info.frames} frames; give other times."
        )
    return first, last


def frame_size(
    size: tuple[int, int],
    count: int,
    wanted: VideoOptions,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: Sequence[int],
) -> tuple[int, int]:
    """(height, width) in pixels in which each of `count` frames of that size is encoded.

    At least 128 and at most 768 tokens a frame, and 24576 in all slices together, which gives way to the
    least size; never above the session's max_pixels nor the largest bucket, which go before everything. With
    resized_height and resized_width the session's limits of images hold instead. Raises PromptError,
    ImageError beyond 1:200.
    """
    height, width = wanted.resized_height or size[0], wanted.resized_width or size[1]
    low, high = _limits(count, wanted, vision, settings)
    if low == high:  # scaled up to `low`, and rounded up, a frame would come out above `high`
        least = vision.merge_area
        buckets = (max(least, min(max(buckets), high // vision.patch_size**2)),)
    return resize_to_bucket(
        height, width, vision, replace(settings, min_pixels=low, max_pixels=high), buckets
    )


def _limits(
    count: int, wanted: VideoOptions, vision: VisionGeometry, settings: ImageSettings
) -> tuple[int, int]:
    token = vision.factor**2
    sized = wanted.resized_height is not None
    low = wanted.min_pixels or (settings.min_pixels if sized else MIN_TOKENS * token)
    most = wanted.max_pixels or (
        settings.max_pixels if sized else min(settings.max_pixels, MAX_TOKENS * token)
    )
    if wanted.min_pixels and low > most:
        raise PromptError(
            f"A video's min_pixels {low} lies above its max_pixels {most} (what a part does not give is the"
            " session's); give both."
        )
    high = most
    if not sized or wanted.total_pixels is not None:
        budget = (wanted.total_pixels or TOTAL_TOKENS * token) * vision.temporal_patch_size // count
        high = min(most, max(budget, int(low * _ABOVE_MIN)))
    return min(low, high), high


def _count(info: VideoInfo, wanted: VideoOptions, there: int, factor: int) -> int:
    most = min(_bound(wanted.max_frames, factor), there)
    if info.times is None:
        return most // factor * factor
    seconds = info.seconds * there / info.frames
    least = -(-(wanted.min_frames or MIN_FRAMES) // factor) * factor
    count = min(max(seconds * (wanted.fps or FPS), least), most)
    return math.floor((count + _TOLERANCE) / factor) * factor


def _bound(max_frames: int | None, factor: int) -> int:
    return (max_frames or MAX_FRAMES) // factor * factor
