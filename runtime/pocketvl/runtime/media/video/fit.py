"""What would make a video fit where it does not: settings that are computed, not guessed."""

from collections.abc import Callable
from dataclasses import replace

from pocketvl.runtime.errors import ImageError, PromptError
from pocketvl.runtime.media.video.options import VideoOptions
from pocketvl.runtime.media.video.sampling import VideoInfo, VideoPlan

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
    fewer = [_fewer_frames(wanted, plan, fits), _fewer_frames(_no_larger(wanted, plan), plan, fits)]
    if best := max(
        (options for options in fewer if options), key=lambda each: each.nframes or 0, default=None
    ):
        pinned = "" if best.max_pixels == wanted.max_pixels else f" with max_pixels {best.max_pixels}"
        found.append(f"nframes {best.nframes}{_as_fps(info, best, fits)}{pinned}")
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


def _no_larger(wanted: VideoOptions, plan: VideoPlan) -> VideoOptions:
    """With the frames of the plan: fewer of them would each get more pixels."""
    area = plan.size[0] * plan.size[1]
    low = wanted.min_pixels if (wanted.min_pixels or 0) <= area else None
    return replace(wanted, min_pixels=low, max_pixels=min(area, wanted.max_pixels or area))


def _fewer_frames(
    wanted: VideoOptions, plan: VideoPlan, fits: Callable[[VideoOptions], bool]
) -> VideoOptions | None:
    """With the most frames that fit."""
    depth = len(plan.indices) // plan.grid[0]
    for count in range(len(plan.indices) - depth, 0, -depth):
        options = replace(wanted, fps=None, min_frames=None, max_frames=None, nframes=count)
        if fits(options):
            return options
    return None


def _as_fps(info: VideoInfo, options: VideoOptions, fits: Callable[[VideoOptions], bool]) -> str:
    """As frames a second, of a video that has times: " (fps 0.5)"."""
    start, end = options.video_start or 0.0, options.video_end
    seconds = (info.seconds if end is None else min(end, info.seconds)) - start
    if info.times is None or seconds <= 0 or options.nframes is None:
        return ""
    fps = float(f"{options.nframes / seconds:.2g}")
    for _ in range(2):  # rounded up, it may take one slice too many
        if fits(replace(options, nframes=None, fps=fps)):
            return f" (fps {fps:g})"
        fps = float(f"{fps * 0.95:.2g}")
    return ""
