"""The keys of a video part: every one that can be meant, and each mistake named with its place."""

from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.video.options import VideoOptions, parse_video_options


def test_all_keys_are_taken() -> None:
    given = {
        "fps": 1, "min_frames": 6, "max_frames": 60, "min_pixels": 3136, "max_pixels": 50176,
        "total_pixels": 10**6,
        "resized_height": 280, "resized_width": 420, "video_start": 0, "video_end": 2.5, "nframes": None,
    }  # fmt: skip
    expected = VideoOptions(**given)
    assert parse_video_options(given) == expected
    assert parse_video_options({"nframes": np.int64(8), "video": "a.mp4"}) == VideoOptions(nframes=8)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fps": 0}, r"part\.fps must be a number of frames a second, above 0, not 0"),
        ({"fps": "2"}, "not '2'"),
        ({"fps": True}, "not True"),
        ({"fps": float("nan")}, "not nan"),
        ({"fps": 10**400}, "not one so large"),
        ({"fps": 1, "nframes": 4}, "both fps and nframes"),
        ({"nframes": 1}, "nframes must be a whole number from 2"),
        ({"nframes": 4.0}, r"not 4\.0"),
        ({"nframes": 4, "max_frames": 8}, "min_frames and max_frames mean nothing"),
        ({"min_frames": 8, "max_frames": 4}, "min_frames 8 lies above its max_frames 4"),
        ({"min_pixels": 8, "max_pixels": 4}, "min_pixels 8 lies above"),
        ({"max_pixels": 0}, "max_pixels must be a whole number from 1"),
        ({"total_pixels": -1}, "total_pixels must be"),
        ({"video_start": -1}, "number of seconds, 0 or more, not -1"),
        ({"video_start": 2, "video_end": 1}, r"video_start 2\.0 lies above its video_end 1\.0"),
        ({"resized_height": 28}, "only one of resized_height and resized_width"),
    ],
)
def test_mistakes_are_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PromptError, match=sentence):
        parse_video_options(given, "part")
