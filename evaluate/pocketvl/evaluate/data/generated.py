"""`generated:N`, `generated:N@FIRST`, `generated/TASK:N@FIRST`: images drawn with their exact answers."""

import re
from collections.abc import Iterator

from PIL import Image

from pocketvl.evaluate.data.moment import MOMENT, moment_records
from pocketvl.evaluate.data.question import ImageRef
from pocketvl.evaluate.data.record import Record
from pocketvl.export.tiny import TASKS, make_example
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.image import content_key

_SPEC = re.compile(r"generated(?:/(?P<task>[^:@]*))?:(?P<number>\d+)(?:@(?P<first>\d+))?")


def is_generated(spec: str) -> bool:
    return spec.startswith(("generated:", "generated/"))


def parse_generated(spec: str) -> tuple[tuple[str, ...], range]:
    """Tasks and indices. Raises UsageError."""
    found = _SPEC.fullmatch(spec)
    if found is None or int(found["number"]) < 1:
        raise UsageError(
            f"The dataset {spec!r} cannot be drawn; write generated:N or generated/TASK:N, with N at least 1"
            " and, if wanted, @FIRST behind it."
        )
    if found["task"] is not None and found["task"] not in (*TASKS, MOMENT):
        known = ", ".join((*TASKS, MOMENT))
        raise UsageError(f"{found['task']!r} is no task that can be drawn; known are {known}.")
    first = int(found["first"] or 0)
    tasks = TASKS if found["task"] is None else (found["task"],)
    return tasks, range(first, first + int(found["number"]))


def generated_records(spec: str) -> Iterator[Record]:
    """The held-out examples of the tiny model, task by task; clips only where they are asked for."""
    tasks, indices = parse_generated(spec)
    if tasks == (MOMENT,):
        yield from moment_records(indices)
        return
    for task in tasks:
        for index in indices:
            yield _record(task, index)


def _record(task: str, index: int) -> Record:
    example = make_example(task, index)
    where = f"generated {task} {index}"
    images = tuple(
        ImageRef(where, content_key(image), _Drawing(task, index, number))
        for number, image in enumerate(example.images)
    )
    return Record(
        where, f"{task}-{index}", task, images, example.question, (example.answer,), box=example.box
    )


class _Drawing:
    """Draws the image again: cheaper than keeping thousands of them."""

    def __init__(self, task: str, index: int, number: int) -> None:
        self._arguments = task, index
        self._number = number

    def __call__(self) -> Image.Image:
        return make_example(*self._arguments).images[self._number]
