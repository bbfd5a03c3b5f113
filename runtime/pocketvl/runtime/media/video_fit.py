"""What would make a video fit where it does not: settings that are computed, not guessed."""

from collections.abc import Callable
from dataclasses import replace

from pocketvl.runtime.errors import ImageError, PromptError
from pocketvl.runtime.media.video_options import VideoOptions
from pocketvl.runtime.media.video_sampling import VideoInfo, VideoPlan

_LEAST_TOKENS = 4  # of a slice: below, there is nothing to see


def settings_that_fit(
    info: VideoInfo,
    wanted: VideoOptions,
    plan: VideoPlan,
    plan_with: Callable[[VideoOptions], VideoPlan],
    factor: int,
    room: int,
) -> list[str]:
    """Settings each of which alone brings the video, which `plan` says is too long, to at most `room` tokens.

    plan_with: the plan of the same video with other options. factor: pixels along one side of a token. Such
    as ["nframes 40 (fps 0.033)", "max_pixels 12544"]; empty where nothing helps.
    """

    def fits(options: VideoOptions) -> bool:
        try:
            return tokens_of(plan_with(options), factor) <= room
        except (ImageError, PromptError):
            return False

    found = []
    depth = len(plan.indices) // plan.grid[0]
    for count in range(len(plan.indices) - depth, 0, -depth):
        options = replace(wanted, fps=None, min_frames=None, max_frames=None, nframes=count)
        if fits(options):
            found.append(f"nframes {count}{_as_fps(info, wanted, count, fits)}")
            break
    for most in range(room // plan.grid[0], _LEAST_TOKENS - 1, -1):
        low = wanted.min_pixels if (wanted.min_pixels or 0) <= most * factor**2 else None
        if fits(replace(wanted, min_pixels=low, max_pixels=most * factor**2)):
            without = "" if low == wanted.min_pixels else " without its min_pixels"
            found.append(f"max_pixels {most * factor**2}{without}")
            break
    return found


def tokens_of(plan: VideoPlan, factor: int) -> int:
    """Placeholder tokens of all slices."""
    return plan.grid[0] * plan.size[0] * plan.size[1] // factor**2


def _as_fps(info: VideoInfo, wanted: VideoOptions, count: int, fits: Callable[[VideoOptions], bool]) -> str:
    if info.times is None or info.seconds <= 0:
        return ""
    start, end = wanted.video_start or 0.0, wanted.video_end
    seconds = (info.seconds if end is None else min(end, info.seconds)) - start
    if seconds <= 0:
        return ""
    fps = float(f"{count / seconds:.2g}")
    for _ in range(2):  # rounded up, it may take one slice too many
        if fits(replace(wanted, nframes=None, min_frames=None, max_frames=None, fps=fps)):
            return f" (fps {fps:g})"
        fps = float(f"{fps * 0.95:.2g}")
    return ""
