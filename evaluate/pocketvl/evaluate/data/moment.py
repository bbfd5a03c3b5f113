"""Clips in which something is to be seen for a moment: a video question that the tiny model was not trained
for.

A clip is the still image of one of the tiny model's own examples in one temporal slice, and its bare
background in the others. Who loses a slice, or the place of one, cannot answer.
"""

import hashlib
from collections.abc import Iterator, Sequence

from PIL import Image

from pocketvl.evaluate.data.question import VideoRef
from pocketvl.evaluate.data.record import Record
from pocketvl.export.tiny import make_example
from pocketvl.runtime.media.image import content_key
from pocketvl.runtime.media.video.options import VideoOptions

MOMENT = "moment"
TASKS_IN_TURN = ("read", "colour", "chart")
FRAMES = 12  # six slices


class MomentClip(Sequence[Image.Image]):
    """Frames drawn when they are wanted."""

    def __init__(self, index: int) -> None:
        """The still image is in slice index // 3 % 6, so that each task meets each place."""
        self._index = index
        self._shown = index // len(TASKS_IN_TURN) * 2 % FRAMES

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, number: int) -> Image.Image:  # type: ignore[override]
        if not 0 <= number < FRAMES:
            raise IndexError(number)
        image = make_example(_task(self._index), self._index).images[0]
        if number - self._shown in (0, 1):
            return image
        return Image.new("RGB", image.size, image.getpixel((0, 0)))


def moment_records(indices: Sequence[int]) -> Iterator[Record]:
    """One question a clip."""
    for index in indices:
        example = make_example(_task(index), index)
        where = f"generated {MOMENT} {index}"
        image = example.images[0]
        identity = hashlib.sha256(f"{MOMENT} {index} {content_key(image)}".encode()).hexdigest()
        sides = VideoOptions(resized_height=image.height, resized_width=image.width)
        clip = VideoRef(where, identity, MomentClip(index), sides)
        yield Record(
            where, f"{MOMENT}-{index}", MOMENT, (), example.question, (example.answer,), videos=(clip,)
        )


def _task(index: int) -> str:
    return TASKS_IN_TURN[index % len(TASKS_IN_TURN)]
