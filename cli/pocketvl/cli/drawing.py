"""`pocketvl ask --draw FILE`: the boxes of an answer on the image that they are of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketvl.cli.console import note
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.options import Content
from pocketvl.runtime.media.draw import AnswerShape, check_output, draw_shapes, write_image
from pocketvl.runtime.media.image import load_image
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import ImagePart, are_results, is_conversation, media_of, parse_messages


def check_drawing(path: Path, turns: Sequence[Content]) -> None:
    """Before anything is asked. Raises UsageError."""
    parts = [part for turn in turns if not isinstance(turn, str) for part in turn]
    inner = [part.get("content") for part in parts if isinstance(part, dict)]
    parts += [part for content in inner if isinstance(content, list) for part in content]
    sources = [part[key] for part in parts if isinstance(part, dict) for key in _KEYS if key in part]
    check_output(path, [each.get("url") if isinstance(each, dict) else each for each in sources])


def draw_answer(
    path: Path, answers: Sequence[Answer], turns: Sequence[Content], sizes: Sequence[Size]
) -> None:
    """Boxes and quads of the last answer that has some.

    sizes: of all images of the conversation, whose last ones are those of the turns. Raises ImageError,
    UsageError.
    """
    shapes: list[AnswerShape] = []
    for answer in answers:
        shapes = [*answer.boxes, *answer.quads] or shapes
    if not shapes:
        note(f"there is no box in the answer: {path} was not written")
        return
    number = shapes[0].image
    shapes = [shape for shape in shapes if shape.image == number]
    sources = _sources(turns)
    own = number - (len(sizes) - len(sources))
    if own < 0:
        note(f"the box is on an image that was saved without its pixels: {path} was not written")
        return
    write_image(draw_shapes(load_image(sources[own]), shapes, sizes[number]), path)
    count = "1 shape" if len(shapes) == 1 else f"{len(shapes)} shapes"
    note(f"drawn: {path}, with {count} on image {number} (counted from 0)")


def _sources(turns: Sequence[Content]) -> list[Any]:
    """What was given as images, in order."""
    sources = []
    for turn in turns:
        messages = turn if is_conversation(turn) else [{"role": "user", "content": turn}]
        if are_results(messages):  # whose calls are those of an answer
            messages = [{"role": "user", "content": message["content"]} for message in messages]
        sources += [part.source for part in media_of(parse_messages(messages)) if isinstance(part, ImagePart)]
    return sources


_KEYS = ("image", "url", "image_url")
