"""Goldens of whole answers: images and questions in, every token out, by transformers in float32."""

import base64
import io

from PIL import Image

from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Turn
from pocketvl.export.tiny import TASKS, make_example
from tests.golden.written import CHECKPOINT, Json

MIN_PIXELS, MAX_PIXELS = 3136, 256 * 14 * 14
MAX_TOKENS = 32
FIRST = 1000  # of questions that training never saw
EACH = 3


def tiny_answers() -> Json:
    """Questions of every task of the tiny model, each in its own conversation, and one of three turns."""
    reference = Reference(CHECKPOINT, MIN_PIXELS, MAX_PIXELS)
    conversations = [
        [Turn(example.question, example.images)]
        for task in TASKS
        for example in (make_example(task, FIRST + number) for number in range(EACH))
    ]
    first, second = make_example("colour", FIRST), make_example("count", FIRST)
    conversations.append(
        [
            Turn(first.question, first.images),
            Turn(second.question, second.images),
            Turn(first.question),
        ]
    )
    return {
        "about": "Greedy answers of the tiny model in float32, no system turn given. images: PNG in base64,"
        " before the question of their turn. ids: the tokens of the answer, the one that ends it included; a"
        " turn follows the ones before it and their answers. prompt_tokens: of everything up to the answer.",
        "checkpoint": "export/pocketvl/export/tiny/checkpoint",
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "max_tokens": MAX_TOKENS,
        "cases": [{"turns": _answered(reference, turns)} for turns in conversations],
    }


def _answered(reference: Reference, turns: list[Turn]) -> list[Json]:
    answers: list[tuple[int, ...]] = []
    made: list[Json] = []
    for count, turn in enumerate(turns, 1):
        so_far = tuple(turns[:count])
        prompt = reference.prompt(so_far, tuple(answers))
        images = tuple(image for earlier in so_far for image in earlier.images)
        ids = reference.generate(prompt, images, MAX_TOKENS)
        answers.append(ids[:-1])  # the template writes the token that ends it
        made.append(
            {
                "images": [_png(image) for image in turn.images],
                "question": turn.text,
                "prompt_tokens": len(prompt),
                "ids": list(ids),
                "text": reference.decode(ids),
            }
        )
    return made


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
