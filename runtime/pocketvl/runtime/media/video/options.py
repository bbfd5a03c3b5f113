"""What a message says about one video: which of its frames, and how large. The keys of Qwen's video parts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, cast

from pocketvl.runtime.errors import PromptError

MOST = 1 << 40  # pixels, frames, seconds: far above what any video has


@dataclass(frozen=True)
class VideoOptions:
    """None is the rule's own choice, see sampling.py.

    fps: frames taken a second; nframes: how many in all, instead. min_frames, max_frames: bounds where fps
    decides. min_pixels, max_pixels: of one frame; total_pixels: of all temporal slices together.
    resized_height, resized_width: instead of the video's own sides. video_start, video_end: seconds.
    """

    fps: float | None = None
    nframes: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    resized_height: int | None = None
    resized_width: int | None = None
    video_start: float | None = None
    video_end: float | None = None


AS_THE_RULE = VideoOptions()
VIDEO_KEYS = tuple(field.name for field in fields(VideoOptions))
_SECONDS = ("video_start", "video_end")


def parse_video_options(part: Mapping[str, Any], where: str = "video") -> VideoOptions:
    """The options among the keys of a video part, None being as good as not given; others are not looked at.

    Raises PromptError for values that are none, and for pairs that contradict each other.
    """
    given = {key: part[key] for key in VIDEO_KEYS if part.get(key) is not None}
    values: dict[str, Any] = {}
    for key, value in given.items():
        is_real = key == "fps" or key in _SECONDS
        values[key] = _real(value, key, where) if is_real else _whole(value, key, where)
    options = VideoOptions(**values)
    if options.fps is not None and options.nframes is not None:
        raise PromptError(f"{where} gives both fps and nframes; leave one out.")
    if options.nframes is not None and (options.min_frames or options.max_frames):
        raise PromptError(
            f"{where} gives nframes, so that min_frames and max_frames mean nothing; leave them out."
        )
    if (options.resized_height is None) != (options.resized_width is None):
        raise PromptError(f"{where} gives only one of resized_height and resized_width; give both.")
    for low, high in (("min_frames", "max_frames"), ("min_pixels", "max_pixels"), _SECONDS):
        if low in values and high in values and values[low] > values[high]:
            raise PromptError(f"{where}.{low} {values[low]} lies above its {high} {values[high]}; swap them.")
    return options


def _whole(value: Any, key: str, where: str) -> int:
    least = 2 if key.endswith("frames") else 1
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= MOST:
        raise PromptError(
            f"{where}.{key} must be a whole number from {least} to {MOST}, not {_shown(value)}."
        )
    return int(value)


def _real(value: Any, key: str, where: str) -> float:
    unit = "seconds, 0 or more" if key in _SECONDS else "frames a second, above 0"
    # Compared before it is converted: an integer may be too large for a float.
    least = 0.0 if key in _SECONDS else 1e-9
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= cast(float, value) <= MOST:
        raise PromptError(f"{where}.{key} must be a number of {unit}, not {_shown(value)}.")
    return float(value)


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > MOST:
        return "one so large"
    return repr(value)[:60]
