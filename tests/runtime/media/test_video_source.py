"""What may be given as a video, and what is refused with a sentence."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import ImageError, MissingExtraError, VideoError
from pocketvl.runtime.media.video.frame_source import FrameSource
from pocketvl.runtime.media.video.source import open_video
from tests.support.images import encoded
from tests.support.videos import grey_frame, number_of, write_video

SIZE = (64, 96)


def numbers(video: FrameSource, indices: list[int]) -> list[int]:
    return [number_of(image) for image in video.read(indices, SIZE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(5):
        grey_frame(number).save(frames / f"{number:03}.png")
    return frames


def test_a_folder_is_its_images_in_the_order_of_their_names(folder: Path) -> None:
    video = open_video(folder)
    assert (video.info.frames, video.info.size, video.info.times) == (5, SIZE, None)
    assert numbers(open_video(str(folder)), [0, 2, 4]) == [0, 2, 4]
    assert not video.notes
    (folder / ".hidden").touch()
    (folder / "readme.txt").touch()
    assert open_video(folder).notes == [f"{folder}: 1 of 6 entries are no images by their names: left out."]


def test_a_list_holds_whatever_an_image_part_takes(folder: Path) -> None:
    frames = [
        folder / "000.png",
        str(folder / "001.png"),
        encoded(grey_frame(2)),
        grey_frame(3),
        np.asarray(grey_frame(4)),
        f"data:image/png;base64,{base64.b64encode(encoded(grey_frame(5))).decode()}",
    ]
    for given in (frames, tuple(frames), iter(frames), (frame for frame in frames)):
        assert numbers(open_video(given), list(range(6))) == list(range(6))
    stacked = np.stack([np.asarray(grey_frame(number)) for number in range(4)])
    assert numbers(open_video(stacked), [1, 3]) == [1, 3]


def test_frames_of_a_list_are_read_when_they_are_wanted(folder: Path) -> None:
    video = open_video([folder / f"{number:03}.png" for number in (0, 1, 77)])
    frames = video.read([0, 1, 2], SIZE)
    assert [number_of(next(frames)), number_of(next(frames))] == [0, 1]
    with pytest.raises(ImageError, match=r"frame 2 \(.*077\.png\): .*077\.png does not exist"):
        next(frames)


def endless() -> Iterator[Image.Image]:
    while True:
        yield grey_frame(0)


def test_an_iterator_without_end_is_refused() -> None:
    with pytest.raises(
        VideoError, match="iterator of frames gives more than 768; give fewer, raise max_frames"
    ):
        open_video(endless())
    with pytest.raises(VideoError, match="more than 10"):
        open_video(endless(), 10)
    assert open_video((grey_frame(0) for _ in range(10)), 10).info.frames == 10


def test_frames_of_different_sizes_are_refused(folder: Path) -> None:
    grey_frame(0, 60, 40).save(folder / "001.png")
    with pytest.raises(VideoError, match=r"frame 1 \(.*001\.png\): has 60x40 pixels, but the first 96x64"):
        numbers(open_video(folder), [0, 1])


def test_notes_about_hundreds_of_frames_are_two() -> None:
    dark = np.full((64, 96), 3000, np.uint16)
    video = open_video([dark] * 9)
    list(video.read(range(9), SIZE))
    assert len(video.notes) == 2
    assert video.notes[0].startswith("frame 0 of 9 (counted from 0): ")
    assert video.notes[1] == "8 more frames have such notes."


def test_a_data_url(tmp_path: Path) -> None:
    data = base64.b64encode(write_video(tmp_path / "a.mp4", 3).read_bytes()).decode()
    assert open_video(f"data:video/mp4;base64,{data}").info.frames == 3
    for url, sentence in (
        ("data:video/mp4,abc", "holds no base64"),
        ("data:video/mp4;base64,???", "base64 of the data: URL is damaged"),
        ("data:video/mp4;base64,", "is empty"),
    ):
        with pytest.raises(VideoError, match=sentence):
            open_video(url)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"a\.mp4 is empty \(0 bytes\)"),
        (b"hello\n" * 1000, r"a\.mp4 cannot be read as a video .*; is it one, and whole\?"),
        (os.urandom(5000), "cannot be read as a video"),
        (b"\0" * 5000, "cannot be read as a video"),
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
            "cannot be read",
        ),
        (b"ffconcat version 1.0\nfile 'b.mp4'\n", "cannot be read"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "cannot be read|no frames that move"),
    ],
)
def test_files_that_are_no_video(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    write_video(tmp_path / "b.mp4", 2)
    with pytest.raises(VideoError, match=sentence):
        open_video(tmp_path / "a.mp4")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    for path, sentence in (
        (tmp_path / "pipe.mp4", "is a pipe, not a regular file"),
        ("/dev/zero", "is a device"),
        (tmp_path / "gone.mp4", "does not exist"),
        ("a\0b", "cannot be read"),
        ("a" * 5000, "cannot be read"),
        (tmp_path / "empty", "is a folder without images"),
        (tmp_path / "texts", "is a folder without images"),
        ("https://example.org/a.mp4", "is an address .*downloads nothing"),
        (Path("https://example.org/a.mp4"), "downloads nothing"),
        ("rtsp://camera/1", r"is an address \(rtsp:\)"),
        ("file://elsewhere/a.mp4", "another computer"),
    ):
        with pytest.raises(VideoError, match=sentence):
            open_video(path)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (Image.new("RGB", (4, 4)), "single image is not a video"),
        (np.zeros((4, 4, 3), np.uint8), "cannot be a ndarray"),
        (3, "cannot be a int; give the path of a video"),
        ([], "list of frames is empty"),
        (iter([]), "iterator of frames is empty"),
        (np.zeros((0, 4, 4, 3), np.uint8), "array of frames is empty"),
        (["gone.png"], r"frame 0 \(gone\.png\): gone\.png does not exist"),
    ],
)
def test_what_is_no_video(source: Any, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        open_video(source)


def test_without_pyav_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    monkeypatch.setattr("pocketvl.runtime.extras.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"needs PyAV .*pip install 'pocketvl\[video\]'"):
        open_video(path)
    assert open_video([grey_frame(0)]).info.frames == 1  # which needs none
