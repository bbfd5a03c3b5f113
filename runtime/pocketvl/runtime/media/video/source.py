"""What a caller may give as a video, opened as far as its number of frames, their size and their times."""

import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from pocketvl.runtime.errors import ImageError, VideoError
from pocketvl.runtime.files import regular_size, shortened
from pocketvl.runtime.media.image_source import MOST_BYTES, decode_base64, path_of_url
from pocketvl.runtime.media.video.animation import Animation, is_animation
from pocketvl.runtime.media.video.file import VideoFile
from pocketvl.runtime.media.video.frame_source import FrameSource, Opener, damage_named
from pocketvl.runtime.media.video.frames import FrameFolder, FrameList
from pocketvl.runtime.media.video.sampling import MAX_FRAMES

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_HEAD = 64
_GIVE = "give the path of a video, a folder of frames, or a list of frames"


def open_video(source: Any, max_frames: int | None = None) -> FrameSource:
    """`source` is a path (str or PathLike) or file: URL of a video or animated image, a folder of images, a
    data: URL, bytes, a file opened in binary mode; or a list, tuple or iterator of what an image part takes.

    max_frames bounds an iterator, which is read to its end at once. Raises VideoError, ImageError,
    MissingExtraError.
    """
    match source:
        case str() if source[:5].lower() == "data:":
            return _open_data(_from_data_url(source), "the video in the data: URL")
        case str() | os.PathLike():
            path = _path(os.fsdecode(source))
            return FrameFolder(path) if _is_folder(path) else _open_path(path)
        case bytes() | bytearray() | memoryview():
            return _open_data(bytes(source), "the given data")
    if callable(getattr(source, "read", None)):
        return _open_data(_read_all(source), "the given file")
    return _open_frames(source, max_frames or MAX_FRAMES)


def _open_frames(source: Any, most: int) -> FrameSource:
    if isinstance(source, Image.Image):
        raise VideoError(f"A single image is not a video; give it as an image, or {_GIVE}.")
    if isinstance(source, Sequence):
        return FrameList(source, "The list of frames")
    if isinstance(source, Iterable) and not hasattr(source, "__array_interface__"):
        return FrameList(_taken(source, most), "The iterator of frames")
    if getattr(source, "ndim", 0) == 4:
        return FrameList(source, "The array of frames")
    raise VideoError(f"A video cannot be a {type(source).__name__}; {_GIVE}.")


def _taken(source: Iterable[Any], most: int) -> list[Any]:
    """How many there are decides how large each is encoded, so that all must be known first."""
    frames: list[Any] = []
    for frame in source:
        if len(frames) == most:
            raise VideoError(
                f"The iterator of frames gives more than {most}; give fewer, raise max_frames, or give a"
                " list, of which nframes can be taken."
            )
        frames.append(frame)
    return frames


def _open_path(path: Path) -> FrameSource:
    regular_size(path, VideoError)
    return _open(lambda: path.open("rb"), shortened(path))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # longer than a path can be
        return False


def _open_data(data: bytes, name: str) -> FrameSource:
    if len(data) > MOST_BYTES:
        raise VideoError(f"{name} has more bytes than the limit of {MOST_BYTES} in memory; give its path.")
    return _open(lambda: io.BytesIO(data), name)


def _open(opener: Opener, name: str) -> FrameSource:
    with damage_named(name):
        with opener() as file:
            head = file.read(_HEAD)
        if not head:
            raise VideoError(f"{name} is empty (0 bytes); copy or download the video again.")
        return Animation(opener, name) if is_animation(head) else VideoFile(opener, name)


def _path(text: str) -> Path:
    if text[:5].lower() == "file:":
        with as_video_error():
            return Path(path_of_url(text))
    if address := _ADDRESS.match(text):
        raise VideoError(
            f"{shortened(text)} is an address ({address[1]}:), and pocketvl downloads nothing; download"
            " the video yourself and give its file."
        )
    return Path(text)


def _from_data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise VideoError("The data: URL holds no base64; write data:video/mp4;base64, and the encoded video.")
    try:
        return decode_base64(body)
    except ValueError as error:
        raise VideoError(
            f"The base64 of the data: URL is damaged ({error}); encode the video again."
        ) from None


def _read_all(file: BinaryIO) -> bytes:
    try:
        if file.seekable():
            file.seek(0)
        data = file.read(MOST_BYTES + 1)
    except Exception as error:  # whatever object this is
        raise VideoError(
            f"The given file cannot be read ({error}); give one that is open for reading."
        ) from None
    if not isinstance(data, bytes):
        raise VideoError("The given file is not opened in binary mode; open it with mode 'rb'.")
    return data


@contextlib.contextmanager
def as_video_error() -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise VideoError(str(error)) from None
