"""Images and conversations with which any Qwen2-VL can be compared.

The questions are of the kinds that the tiny model was trained on: where a model guesses, a small error turns
its distribution over, and the comparison says little of how it was lowered.
"""

from dataclasses import dataclass

from PIL import Image

from pocketvl.export.tiny import make_example


@dataclass(frozen=True)
class Turn:
    """One user turn: images first, then words."""

    text: str
    images: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Conversation:
    name: str
    turns: tuple[Turn, ...]


def sample_image(width: int, height: int, index: int = 0) -> Image.Image:
    """A generated image, stretched to exactly that size in pixels."""
    return _resized(make_example("count", index).images[0], width, height)


def vision_samples() -> tuple[tuple[str, Image.Image], ...]:
    """Square, 1:20 and 20:1, and one whose sides are no multiples of anything."""
    sizes = ((224, 224), (448, 448), (56, 1120), (1120, 56), (337, 225))
    return tuple((f"{w}x{h}", sample_image(w, h, i)) for i, (w, h) in enumerate(sizes))


def conversations(long_prompt_words: int) -> tuple[Conversation, ...]:
    """Text only, one image, two images, three turns, and a prompt of at least so many words."""
    read, pair, count, colour = (make_example(task, 10) for task in ("read", "pair", "count", "colour"))
    wide, tall = _resized(pair.images[0], 224, 168), _resized(pair.images[1], 140, 252)
    shapes = _resized(count.images[0], 224, 168)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    long_text = " ".join(words[i % len(words)] for i in range(long_prompt_words))
    return (
        Conversation("text only", (Turn("What can you do?"),)),
        Conversation("one image", (Turn(read.question, read.images),)),
        Conversation("two images", (Turn(pair.question, (wide, tall)),)),
        Conversation(
            "three turns",
            (
                Turn(count.question, (shapes,)),
                Turn(colour.question, (_resized(colour.images[0], 140, 252),)),
                Turn("What can you do?"),
            ),
        ),
        Conversation("long prompt", (Turn(f"{long_text} {count.question}", (shapes,)),)),
    )


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BICUBIC)
