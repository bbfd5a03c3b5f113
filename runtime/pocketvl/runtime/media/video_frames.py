"""A video as a list or a folder of images, each of which is read when it is wanted."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pocketvl.runtime.errors import ImageError, MissingExtraError, VideoError
from pocketvl.runtime.files import shortened
from pocketvl.runtime.media.image import open_image
from pocketvl.runtime.media.video_sampling import VideoInfo

# Of the formats that are read as images, see docs/image-input.md.
_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".ppm", ".pgm", ".pnm", ".jp2", ".qoi",
)  # fmt: skip


class FrameList:
    """Frames as an image part takes them, all of the first one's size."""

    def __init__(self, frames: Sequence[Any], name: str) -> None:
        """Raises VideoError for none, ImageError for a first one that cannot be read."""
        self._frames = frames
        self.notes: list[str] = []
        if len(frames) == 0:
            raise VideoError(f"{name} is empty; give at least one.")
        self.info = VideoInfo(name, len(frames), _size_of(frames[0], f"frame 0 of {len(frames)}"))

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[Image.Image]:
        """See FrameSource."""
        for index in indices:
            yield self._read(index, size)

    def _read(self, index: int, size: tuple[int, int]) -> Image.Image:
        where = f"frame {index} of {self.info.frames}"
        try:
            with open_image(self._frames[index]) as opened:
                if opened.size != self.info.size:
                    (height, width), (first_height, first_width) = opened.size, self.info.size
                    raise VideoError(
                        f"has {width}x{height} pixels, but the first {first_width}x{first_height}; give"
                        f" frames of"
                        " one size."
                    )
                image = opened.read(size)
                self.notes += [
                    f"{where}: {note}" for note in opened.notes if f"{where}: {note}" not in self.notes
                ]
                return image
        except (ImageError, MissingExtraError) as error:
            raise type(error)(f"{where}: {error}") from None


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
                f" holds the frames"
                " of a video, or a video's file."
            )
        super().__init__(frames, name)
        if other := len(entries) - len(frames):
            self.notes.append(
                f"{name}: {other} of {len(entries)} entries are no images by their names: left out."
            )


def _size_of(frame: Any, where: str) -> tuple[int, int]:
    try:
        with open_image(frame) as opened:
            return opened.size
    except (ImageError, MissingExtraError) as error:
        raise type(error)(f"{where}: {error}") from None
