"""Sampling against a plain statement of the rule; sizes within every limit; settings that are said to fit
do.
"""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.errors import ImageError, PromptError, VideoError
from pocketvl.runtime.media.video.fit import settings_that_fit, tokens_of
from pocketvl.runtime.media.video.options import VideoOptions
from pocketvl.runtime.media.video.sampling import (
    VideoInfo,
    VideoPlan,
    frame_size,
    plan_video,
    sample_frames,
    spread,
)
from tests.support.video_rule import taken

VISION = VisionGeometry(1, 160, 8, 2, 3, 14, 2, 2, 64)
SETTINGS = ImageSettings(3136, 12845056, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BUCKETS = (256, 1024, 4096)
TOKEN = 28 * 28


def info(frames: int, rate: float | None = 30, size: tuple[int, int] = (720, 1280)) -> VideoInfo:
    times = None if rate is None else [i / rate for i in range(frames)]
    return VideoInfo("a.mp4", frames, size, times, 0.0 if rate is None else frames / rate)


RATES = st.sampled_from([None, 1, 7.5, 12, 23.976, 25, 29.97, 30, 59.94, 60, 120])
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "min_frames": st.integers(2, 40),
        "max_frames": st.integers(41, 900),
        "video_start": st.integers(0, 30),
        "video_end": st.integers(30, 80),
    },
)


@given(
    st.integers(1, 1200),
    RATES,
    WANTED,
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"fps": st.sampled_from([0.1, 0.5, 1, 2, 2.5, 5, 24, 500])}),
        st.fixed_dictionaries({"nframes": st.integers(2, 400)}),
    ),
)
def test_frames_are_those_of_the_rule(frames: int, rate: float | None, bounds: dict, count: dict) -> None:
    wanted = count | ({k: v for k, v in bounds.items() if k[:5] == "video"} if "nframes" in count else bounds)
    expected = taken(frames, rate, wanted)
    try:
        found = list(sample_frames(info(frames, rate), VideoOptions(**wanted)))
    except VideoError:
        found = None
    assert found == expected


@given(st.integers(2, 100_000), st.integers(2, 900))
def test_spread_frames_reach_from_the_first_to_the_last(there: int, count: int) -> None:
    indices = spread(there, count)
    assert (indices[0], indices[-1], len(indices)) == (0, there - 1, count)
    steps = [after - before for before, after in itertools.pairwise(indices)]
    assert max(steps) - min(steps) <= 1


SIDES = st.integers(20, 4000)
PIXELS = st.one_of(st.none(), st.integers(1, 2_000_000))


@given(
    st.tuples(SIDES, SIDES),
    st.integers(1, 400),
    PIXELS,
    PIXELS,
    PIXELS,
    st.sampled_from([(64,), BUCKETS, (16384,)]),
)
def test_a_frame_keeps_within_its_limits(
    size: tuple[int, int],
    slices: int,
    low: int | None,
    high: int | None,
    total: int | None,
    buckets: tuple[int, ...],
) -> None:
    if max(size) > 200 * min(size):
        return
    wanted = VideoOptions(min_pixels=low, max_pixels=high, total_pixels=total)
    try:
        height, width = frame_size(size, 2 * slices, wanted, VISION, SETTINGS, buckets)
    except PromptError:
        assert low is not None
        assert low > (high or 768 * TOKEN)
        return
    assert height % 28 == width % 28 == 0
    assert TOKEN <= height * width <= buckets[-1] * 196
    if high is not None and low is None and high < 128 * TOKEN:
        assert height * width <= max(high, TOKEN)
    bound = max((total or 24576 * TOKEN) / slices, (low or 128 * TOKEN) * 1.05)
    if high is None and min(size) >= 100 and max(size) < 10 * min(size):
        rounded_up = (height - 28) * (width - 28) < (
            low or 128 * TOKEN
        )  # to whole tokens, from the least size
        assert height * width <= bound or rounded_up


def test_the_total_is_shared_by_all_slices() -> None:
    """Of 24576 tokens 768 frames leave 64 a slice: less than the least, which is then kept."""
    assert frame_size((720, 1280), 4, VideoOptions(), VISION, SETTINGS, BUCKETS) == (560, 1008)
    assert frame_size((720, 1280), 200, VideoOptions(), VISION, SETTINGS, BUCKETS) == (308, 560)
    assert frame_size((720, 1280), 768, VideoOptions(), VISION, SETTINGS, BUCKETS) == (224, 420)


def test_the_session_and_the_bundle_bound_frames() -> None:
    small = replace(SETTINGS, max_pixels=50176)
    assert frame_size((720, 1280), 8, VideoOptions(), VISION, small, BUCKETS) == (168, 280)
    assert frame_size((720, 1280), 8, VideoOptions(max_pixels=100352), VISION, small, BUCKETS) == (224, 420)
    assert frame_size((720, 1280), 8, VideoOptions(), VISION, SETTINGS, (64,)) == (84, 140)
    assert frame_size((48, 64), 8, VideoOptions(max_pixels=7840), VISION, SETTINGS, BUCKETS) == (56, 84)


@settings(max_examples=60)
@given(
    st.integers(2, 40_000),
    st.sampled_from([None, 10, 30]),
    st.integers(20, 30_000),
    st.sampled_from(
        [
            VideoOptions(),
            VideoOptions(fps=10),
            VideoOptions(min_frames=60),
            VideoOptions(nframes=2),
            VideoOptions(min_pixels=401408),
            VideoOptions(resized_height=560, resized_width=560),
            VideoOptions(video_start=0.05, video_end=20),
        ]
    ),
)
def test_settings_that_are_said_to_fit_do(
    frames: int, rate: float | None, room: int, wanted: VideoOptions
) -> None:
    video = info(frames, rate)

    def plan_with(options: VideoOptions) -> VideoPlan:
        return plan_video(video, options, VISION, SETTINGS, BUCKETS)

    try:
        plan = plan_with(wanted)
    except ImageError:
        return
    if tokens_of(plan, 28) <= room:
        return
    for sentence in settings_that_fit(video, wanted, plan, plan_with, 28, room):
        said = {
            key: float(value) for key, value in re.findall(r"(nframes|fps|max_pixels) ([\d.e-]+)", sentence)
        }
        pixels = wanted
        if most := said.pop("max_pixels", None):
            low = None if (wanted.min_pixels or 0) > most else wanted.min_pixels
            pixels = replace(wanted, max_pixels=int(most), min_pixels=low)
        plain = {"fps": None, "nframes": None, "min_frames": None, "max_frames": None}
        for key, value in said.items():
            own = plain | {key: value if key == "fps" else int(value)}
            assert tokens_of(plan_with(replace(pixels, **own)), 28) <= room, sentence
        if not said:
            assert tokens_of(plan_with(pixels), 28) <= room, sentence


def test_twenty_minutes_get_three_ways_out() -> None:
    video = info(36_000)

    def plan_with(options: VideoOptions) -> VideoPlan:
        return plan_video(video, options, VISION, SETTINGS, BUCKETS)

    plan = plan_with(VideoOptions())
    assert (len(plan.indices), tokens_of(plan, 28)) == (768, 46080)
    said = settings_that_fit(video, VideoOptions(), plan, plan_with, 28, 4000)
    assert said == ["nframes 70 (fps 0.058) with max_pixels 94080", "max_pixels 7840"]
    assert settings_that_fit(video, VideoOptions(), plan, plan_with, 28, 100) == []


@pytest.mark.parametrize(
    ("video", "wanted", "sentence"),
    [
        (info(3), {"nframes": 4}, r"a\.mp4 has 3 frames to take, .* give 2 to 2, or leave nframes out"),
        (info(30), {"video_start": 4}, r"no frame from 4 s to 1 s; it lasts 1\.00 s and has 30 frames"),
        (info(30, None), {"video_end": 4}, "list of frames without times"),
        (info(30, None), {"min_frames": 4}, "min_frames means nothing"),
        (info(30), {"min_pixels": 10**6}, "min_pixels 1000000 lies above its max_pixels 602112"),
        (info(30, 30, (20, 5000)), {}, "longer than 200 times"),
    ],
)
def test_what_cannot_be_taken(video: VideoInfo, wanted: dict, sentence: str) -> None:
    with pytest.raises((VideoError, PromptError, ImageError), match=sentence):
        plan_video(video, VideoOptions(**wanted), VISION, SETTINGS, BUCKETS)
