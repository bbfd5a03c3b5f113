"""Pictures and conversations with which any Qwen2-VL can be compared; nothing in them depends on training."""

from dataclasses import dataclass

from PIL import Image

from pocketvl.evaluate.reference import Turn
from pocketvl.export.tiny import make_example


@dataclass(frozen=True)
class Conversation:
    name: str
    turns: tuple[Turn, ...]


def sample_picture(width: int, height: int, index: int = 0) -> Image.Image:
    """A generated picture, stretched to exactly that size in pixels."""
    picture = make_example("count", index).images[0]
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def vision_samples() -> tuple[tuple[str, Image.Image], ...]:
    """Square, 1:20 and 20:1, and one whose sides are no multiples of anything."""
    sizes = ((224, 224), (448, 448), (56, 1120), (1120, 56), (337, 225))
    return tuple((f"{w}x{h}", sample_picture(w, h, i)) for i, (w, h) in enumerate(sizes))


def conversations(long_prompt_words: int) -> tuple[Conversation, ...]:
    """Text only, one picture, two pictures, three turns, and a prompt of at least so many words."""
    first, second = sample_picture(224, 168, 10), sample_picture(140, 252, 11)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    long_text = " ".join(words[i % len(words)] for i in range(long_prompt_words))
    return (
        Conversation("text only", (Turn("What can you do?"),)),
        Conversation("one picture", (Turn("What is in this picture?", (first,)),)),
        Conversation("two pictures", (Turn("Which picture is brighter?", (first, second)),)),
        Conversation(
            "three turns",
            (
                Turn("How many shapes are there?", (first,)),
                Turn("And in this one?", (second,)),
                Turn("Which has more?"),
            ),
        ),
        Conversation("long prompt", (Turn(f"{long_text} What is this?", (first,)),)),
    )
