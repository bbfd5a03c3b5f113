"""Files of every common kind: wanted frames are those given, upright, whatever the file says of itself."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pocketvl.runtime.errors import VideoError
from pocketvl.runtime.media.video import file as video_file
from pocketvl.runtime.media.video.frame_source import FrameSource
from pocketvl.runtime.media.video.source import open_video
from tests.support.videos import (
    HEIGHT,
    WIDTH,
    bright_corner,
    grey_frame,
    number_of,
    write_sound,
    write_video,
)

KINDS = {
    "h264.mp4": {"codec": "libx264"},
    "open-gop.mp4": {"codec": "libx264", "options": {"x264-params": "open-gop=1:bframes=3:scenecut=0"}},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "h264.mov": {"codec": "libx264"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "h264.mkv": {"codec": "libx264"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "b-frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "broadcast.ts": {"codec": "libx264", "format": "mpegts"},
    "raw.h264": {"codec": "libx264", "format": "h264"},
}


@pytest.fixture(scope="module", params=KINDS)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrameSource:
    path = tmp_path_factory.mktemp("videos") / request.param
    return open_video(write_video(path, 24, **KINDS[request.param]))


def numbers(video: FrameSource, indices: list[int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[int]:
    return [number_of(image) for image in video.read(indices, size)]


def test_every_frame_is_the_one_of_its_number(video: FrameSource) -> None:
    assert (video.info.frames, video.info.size) == (24, (HEIGHT, WIDTH))
    assert numbers(video, list(range(24))) == list(range(24))


@settings(max_examples=12)
@given(st.sets(st.integers(0, 23), min_size=1).map(sorted))
def test_whichever_frames_are_wanted(video: FrameSource, indices: list[int]) -> None:
    """Groups of pictures that are left out take nothing from those before and after them."""
    assert numbers(video, indices) == indices


def test_frames_have_the_size_that_is_wanted(video: FrameSource) -> None:
    (image,) = video.read([3], (28, 56))
    assert (image.size, image.mode) == ((56, 28), "RGB")


def test_times_begin_at_zero_and_last_as_long_as_all_frames(tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        if name != "raw.h264":  # has no times
            info = open_video(write_video(tmp_path / name, 20, **kind)).info
            assert info.seconds == pytest.approx(2.0, abs=1e-3), name
            assert list(info.times or ()) == pytest.approx([i / 10 for i in range(20)], abs=1e-3), name


def test_frames_of_varying_duration_that_begin_late(tmp_path: Path) -> None:
    pts = [50, 51, 52, 80, 81, 100]
    video = open_video(write_video(tmp_path / "a.mkv", 6, pts=pts))
    assert video.info.times == pytest.approx([0.0, 0.1, 0.2, 3.0, 3.1, 5.0], abs=2e-3)
    assert video.info.seconds == pytest.approx(5.1, abs=0.05)
    assert numbers(video, [0, 3, 5]) == [0, 3, 5]


@pytest.mark.parametrize(
    ("rotation", "corner", "turned"),
    [
        (None, "upper left", False),
        (90.0, "lower left", True),
        (180.0, "lower right", False),
        (-90.0, "upper right", True),
    ],
)
def test_a_phones_video_is_upright(tmp_path: Path, rotation: float | None, corner: str, turned: bool) -> None:
    """The rotation is counterclockwise, as FFmpeg counts it; frames are stored unturned."""
    video = open_video(write_video(tmp_path / "a.mp4", 4, rotation=rotation))
    assert video.info.size == ((WIDTH, HEIGHT) if turned else (HEIGHT, WIDTH))
    (image,) = video.read([2], video.info.size)
    assert image.size == video.info.size[::-1]
    assert (number_of(image), bright_corner(image)) == (2, corner)


def test_a_mirrored_video_is_mirrored_back(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 2)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer
    data[matrix : matrix + 4] = (-(1 << 16)).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    (image,) = open_video(path).read([0], (HEIGHT, WIDTH))
    assert bright_corner(image) == "upper right"


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_videos(tmp_path: Path, frames: int) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", frames))
    assert video.info.frames == frames
    assert video.info.seconds == pytest.approx(frames / 10)
    assert numbers(video, list(range(frames))) == list(range(frames))


def test_a_video_from_memory(tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mp4", 3).read_bytes()
    for source in (data, bytearray(data), io.BytesIO(data), (tmp_path / "a.mp4").open("rb")):
        assert open_video(source).info.frames == 3
    assert open_video((tmp_path / "a.mp4").as_uri()).info.frames == 3


def test_sound_beside_the_frames_changes_nothing(tmp_path: Path) -> None:
    assert numbers(open_video(write_video(tmp_path / "a.mp4", 5, sound=True)), [0, 4]) == [0, 4]


def test_a_file_with_sound_alone(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a\.m4a has no frames that move \(sound alone\?\)"):
        open_video(write_sound(tmp_path / "a.m4a"))


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", 24, options={"movflags": "faststart"}).read_bytes()
    front = tmp_path / "front.mp4"
    with (
        av.open(str(front), "w", options={"movflags": "faststart"}) as out,
        av.open(io.BytesIO(whole)) as source,
    ):
        copied = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                out.mux(packet)
    data = front.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    front.write_bytes(data[:-200])
    with pytest.raises(VideoError, match=r"front\.mp4 is (cut off: \d+ of 24 frames|damaged or cut off)"):
        open_video(front)
    back = tmp_path / "back.mp4"  # its index came last, and is gone
    back.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"back\.mp4 cannot be read as a video"):
        open_video(back)


def test_a_frame_that_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 24, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    start = [i for i in range(len(data) - 2) if data[i : i + 3] == b"\xff\xd8\xff"][12]
    end = data.index(b"\xff\xd9", start)
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    video = open_video(path)
    assert numbers(video, [0, 11]) == [0, 11]
    with pytest.raises(VideoError, match=r"a\.mkv is damaged or cut off \(Invalid data"):
        numbers(video, [0, 12])


def test_a_frame_that_the_decoder_leaves_out_is_replaced_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those do that are told to pass over a frame by the frame itself."""
    path = write_video(tmp_path / "a.mp4", 24)
    video = open_video(path)
    decode = video_file.VideoFile._decode

    def leave_out(self: FrameSource, decoder: object, packet: object) -> list[av.VideoFrame]:
        return [frame for frame in decode(self, decoder, packet) if frame.pts // 1024 not in (12, 23)]

    monkeypatch.setattr(video_file.VideoFile, "_decode", leave_out)
    assert numbers(video, [0, 12, 23]) == [0, 13, 22]
    assert video.notes == [
        f"{path}: 2 of 3 frames cannot be decoded; the ones beside them were taken instead."
    ]


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Never another exception, whatever bytes are changed."""
    whole = _small_files(tmp_path_factory)
    changed = bytearray(whole[data.draw(st.integers(0, len(whole) - 1))])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + 4] = data.draw(st.binary(min_size=0, max_size=4))
    try:
        video = open_video(bytes(changed))
        assert 0 < video.info.frames < 1000
        assert np.isfinite(video.info.seconds)
        assert all(image.size == (56, 28) for image in video.read([0, video.info.frames - 1], (28, 56)))
    except VideoError:
        pass


_FILES: list[bytes] = []


def _small_files(factory: pytest.TempPathFactory) -> list[bytes]:
    if not _FILES:
        folder = factory.mktemp("small")
        names = ("h264.mp4", "vp9.webm", "mpeg4.avi", "broadcast.ts")
        _FILES.extend(write_video(folder / name, 5, **KINDS[name]).read_bytes() for name in names)
    return _FILES


def test_headers_that_lie_about_size_and_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    data = bytearray(path.read_bytes())
    for box, after in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):  # durations
        place = data.index(box) + 4 + after
        data[place : place + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    assert numbers(open_video(path), [0, 5]) == [0, 5]
    assert open_video(with_size(path, 16, 16)).info.size == (HEIGHT, WIDTH)  # as the frames themselves say


def with_size(path: Path, width: int, height: int) -> bytes:
    """An MP4 of H.264 whose container says so; its frames say otherwise."""
    data = bytearray(path.read_bytes())
    place = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    data[place : place + 4] = struct.pack(">HH", width, height)
    return bytes(data)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (16, 16), (65535, 65535)])
def test_frames_above_the_limit_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    data = with_size(write_video(tmp_path / "a.mp4", 2), *size)
    monkeypatch.setattr(video_file, "_MOST_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(VideoError, match=r"(pixels \(the limit is 6143\)|cannot be read as a video)"):
        open_video(data)


def test_one_frame_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """Frames come while the file is read, and none is asked for before the one before was taken."""
    frames = open_video(write_video(tmp_path / "a.mp4", 24)).read([0, 20], (HEIGHT, WIDTH))
    assert number_of(next(frames)) == 0
    frames.close()  # type: ignore[attr-defined]


def test_a_still_image_is_no_video(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.gif", "a.webp"):
        Image.new("RGB", (40, 40)).save(tmp_path / name)
        with pytest.raises(VideoError, match="is a still image; give it as an image"):
            open_video(tmp_path / name)


@pytest.mark.parametrize(("name", "options"), [("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {})])
def test_animated_images(tmp_path: Path, name: str, options: dict[str, bool]) -> None:
    frames = [grey_frame(number) for number in range(6)]
    durations = [100, 100, 300, 100, 100, 100]
    path = tmp_path / name
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, **options)
    video = open_video(path)
    assert video.info.seconds == pytest.approx(0.8)
    assert video.info.times == pytest.approx([0.0, 0.1, 0.2, 0.5, 0.6, 0.7])
    assert numbers(video, [0, 2, 5]) == [0, 2, 5]
