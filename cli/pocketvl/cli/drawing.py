"""`pocketvl ask --draw FILE`: the boxes of an answer on the image that they are of."""

from collections.abc import Sequence
from pathlib import Path

from pocketvl.cli.console import note
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.session import Content
from pocketvl.runtime.media.draw import AnswerShape, check_output, draw_shapes, write_image
from pocketvl.runtime.media.image import load_image


def check_drawing(path: Path, turns: Sequence[Content]) -> None:
    """Before anything is asked. Raises UsageError."""
    parts = [part for turn in turns if not isinstance(turn, str) for part in turn]
    inner = [part.get("content") for part in parts if isinstance(part, dict)]
    parts += [part for content in inner if isinstance(content, list) for part in content]
    sources = [part[key] for part in parts if isinstance(part, dict) for key in _KEYS if key in part]
    check_output(path, [each.get("url") if isinstance(each, dict) else each for each in sources])


def draw_answer(path: Path, answers: Sequence[Answer], conversation: Conversation) -> None:
    """Boxes and quads of the last answer that has some. Raises ImageError, UsageError."""
    shapes: list[AnswerShape] = []
    for answer in answers:
        shapes = [*answer.boxes, *answer.quads] or shapes
    if not shapes:
        note(f"there is no box in the answer: {path} was not written")
        return
    number = shapes[0].image
    shapes = [shape for shape in shapes if shape.image == number]
    image = load_image(conversation.image_source(number))
    write_image(draw_shapes(image, shapes, conversation.image_sizes[number]), path)
    count = "1 shape" if len(shapes) == 1 else f"{len(shapes)} shapes"
    note(f"drawn: {path}, with {count} on image {number} (counted from 0)")


_KEYS = ("image", "url", "image_url")
