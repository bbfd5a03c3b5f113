"""A video as a list or a folder of images, each of which is read when it is wanted."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pocketvl.runtime.errors import ImageError, MissingExtraError, VideoError
from pocketvl.runtime.files import shortened
from pocketvl.runtime.media.image import open_image
from pocketvl.runtime.media.video.sampling import VideoInfo

# Of the formats that are read as images, see docs/image-input.md.
_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".ppm", ".pgm", ".pnm", ".jp2", ".qoi",
)  # fmt: skip

_LONGEST_NAME = 1024  # what is longer holds the image itself


class FrameList:
    """Frames as an image part takes them, all of the first one's size."""

    def __init__(self, frames: Sequence[Any], name: str) -> None:
        """Raises VideoError for none, ImageError for a first one that cannot be read."""
        self._frames = frames
        self.notes: list[str] = []
        self._noted = 0  # frames with notes
        if len(frames) == 0:
            raise VideoError(f"{name} is empty; give at least one.")
        self.info = VideoInfo(name, len(frames), _size_of(frames[0], _name(frames[0], 0, len(frames))))

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[Image.Image]:
        """See FrameSource."""
        for index in indices:
            yield self._read(index, size)

    def _read(self, index: int, size: tuple[int, int]) -> Image.Image:
        where = _name(self._frames[index], index, self.info.frames)
        try:
            with open_image(self._frames[index]) as opened:
                if opened.size != self.info.size:
                    (height, width), (first_height, first_width) = opened.size, self.info.size
                    raise VideoError(
                        f"has {width}x{height} pixels, but the first {first_width}x{first_height}; give"
                        " frames of one size."
                    )
                image = opened.read(size)
                self._note(where, opened.notes)
                return image
        except (ImageError, MissingExtraError) as error:
            raise type(error)(f"{where}: {error}") from None

    def _note(self, where: str, notes: Sequence[str]) -> None:
        """The first frame's in full; of hundreds of frames with such notes only their number."""
        if not notes:
            return
        if not self._noted:
            self.notes += [f"{where}: {note}" for note in notes]
        elif self._noted == 1:
            self.notes.append("")
        if self._noted:
            self.notes[-1] = f"{self._noted} more frames have such notes."
        self._noted += 1


class FrameFolder(FrameList):
    """The images of a folder, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        """Raises VideoError for a folder without images."""
        name = shortened(folder)
        try:
            entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise VideoError(f"{name} cannot be read ({error.strerror}); check its permissions.") from None
        frames = [path for path in entries if path.suffix.lower() in _SUFFIXES]
        if not frames:
            raise VideoError(
                f"{name} is a folder without images ({', '.join(_SUFFIXES[:4])}, ...); give one that"
                " holds the frames of a video, or a video's file."
            )
        super().__init__(frames, name)
        if other := len(entries) - len(frames):
            self.notes.append(
                f"{name}: {other} of {len(entries)} entries are no images by their names: left out."
            )


def _name(frame: Any, index: int, count: int) -> str:
    """A frame in messages: by its file, if it has a name."""
    if isinstance(frame, os.PathLike) or (isinstance(frame, str) and len(frame) < _LONGEST_NAME):
        return f"frame {index} ({shortened(os.fsdecode(frame))})"
    return f"frame {index} of {count} (counted from 0)"


def _size_of(frame: Any, where: str) -> tuple[int, int]:
    try:
        with open_image(frame) as opened:
            return opened.size
    except (ImageError, MissingExtraError) as error:
        raise type(error)(f"{where}: {error}") from None
