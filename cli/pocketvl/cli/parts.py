"""Parts of a message from the files and options of a command line."""

from collections.abc import Sequence
from typing import Any

from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.media.video.options import parse_video_options

Part = dict[str, Any]


def image_parts(paths: Sequence[str]) -> list[Part]:
    return [{"type": "image", "image": path} for path in paths]


def video_parts(paths: Sequence[str], fps: float | None, nframes: int | None) -> list[Part]:
    """The options hold for all of them. Raises UsageError for options that cannot be meant."""
    given = {key: value for key, value in (("fps", fps), ("nframes", nframes)) if value is not None}
    if given and not paths:
        raise UsageError("--fps and --nframes are about a video; name one with --video.")
    try:
        parse_video_options(given, "--video")
    except PromptError as error:
        raise UsageError(str(error)) from None
    return [{"type": "video", "video": path, **given} for path in paths]
