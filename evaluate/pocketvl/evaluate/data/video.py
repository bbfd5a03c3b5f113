"""The videos that a row of a dataset names, with the options of a video part."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvl.evaluate.data.question import VideoRef
from pocketvl.evaluate.data.record import refusal
from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.files import regular_size
from pocketvl.runtime.media.video.options import VIDEO_KEYS, parse_video_options


def video_refs(value: Mapping[str, Any], folder: Path, where: str) -> tuple[VideoRef, ...]:
    """Of a row's `video` (a path, a list of frames, or an object with `video` and options) or `videos` (a
    list of such). Paths start from `folder`. Raises UsageError."""
    if "video" in value and "videos" in value:
        raise refusal(where, "video", "stands beside videos", "keep one of the two")
    given = [value["video"]] if "video" in value else value.get("videos", [])
    if not isinstance(given, list) or ("videos" in value and not given):
        raise refusal(where, "videos", "is no list of videos", "write it as one, or call it video")
    return tuple(_video(item, folder, where) for item in given)


def _video(given: Any, folder: Path, where: str) -> VideoRef:
    options: dict[str, Any] = {}
    if isinstance(given, dict):
        options = {key: item for key, item in given.items() if key != "video"}
        for key in options:
            if key not in VIDEO_KEYS:
                raise refusal(where, f"video, {key!r}", "is not known", f"known are {', '.join(VIDEO_KEYS)}")
        given = given.get("video")
    frames = given if isinstance(given, list) else [given]
    if not frames or not all(isinstance(frame, str) and frame for frame in frames):
        raise refusal(where, "video", "is neither a path nor a list of frames", "write it as one")
    paths = tuple(folder / frame for frame in frames)
    try:
        parsed = parse_video_options(options, f"{where}, video")
    except PromptError as error:
        raise UsageError(str(error)) from None
    source = paths if isinstance(given, list) else paths[0]
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in paths:
        _add(digest, path, where)
    return VideoRef(where, digest.hexdigest(), source, parsed)


def _add(digest: Any, path: Path, where: str) -> None:
    """The contents of a file, or of the files in a folder with their names."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        for file in files:
            regular_size(file, UsageError)
            digest.update(f"{file.name if path.is_dir() else ''}\0".encode(errors="surrogateescape"))
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except (OSError, UsageError) as error:
        reason = error if isinstance(error, UsageError) else f"{path} cannot be read ({error.strerror})."
        raise UsageError(f"{where}, video: {reason} Paths count from the dataset's folder.") from None
