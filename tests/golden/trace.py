"""A golden of a whole conversation: what each turn feeds, and what the KV slots hold after it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.golden.positions import by_rule
from tests.golden.written import CHECKPOINT, SPECIAL, Json

Slot = tuple[int, str | None]
IMAGES: dict[str, tuple[int, int, int]] = {"cat": (1, 4, 4), "dog": (1, 4, 4), "house": (1, 4, 6)}
PATCH = 14  # pixels
_PADS = ("<|image_pad|>", "<|video_pad|>")
_ANSWER = "\ue000"


@dataclass(frozen=True)
class Said:
    """A conversation so far: its messages, and its slots without the token that ended its last answer."""

    messages: tuple[Json, ...] = ()
    slots: tuple[Slot, ...] = ()
    images: tuple[str, ...] = ()


class Trace:
    """Turn by turn, on one cache. Positions by the rule, one token at a time."""

    def __init__(self) -> None:
        self.library = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))
        template = (CHECKPOINT / "chat_template.jinja").read_text(encoding="utf-8")
        self._renderer = PreTrainedTokenizerFast(tokenizer_object=self.library, chat_template=template)
        self.cached: list[Slot] = []
        self.turns: list[Json] = []

    def turn(
        self, name: str, before: Said, new: Sequence[Json], answer: str, *, cut: bool = False, **how: Any
    ) -> Said:
        """The answer ends with its stop token, or is cut off before it. `how` is part of the golden."""
        rendered = self._rendered([*before.messages, *new])
        if before.messages:
            *earlier, _ = before.messages
            marked = [*earlier, {"role": "assistant", "content": _ANSWER}, *new]
            rendered = self._rendered(marked).partition(_ANSWER)[2]
        contents = [message["content"] for message in new if isinstance(message["content"], list)]
        images = [part["image"] for parts in contents for part in parts if part["type"] == "image"]
        prompt = [*before.slots, *self._slots(rendered, images)]
        generated = [*self._encoded(answer), *([] if cut else [self.library.token_to_id("<|im_end|>")])]
        common = 0
        while common < min(len(prompt), len(self.cached)) and prompt[common] == self.cached[common]:
            common += 1
        kept = min(common, len(prompt) - 1)
        said: list[Slot] = [(token, None) for token in (generated if cut else generated[:-1])]
        after = [*prompt, *said]
        # Each token is fed when the next one is asked for: the last one never is.
        self.cached = [*prompt, *((token, None) for token in generated[:-1])]
        seen = (*before.images, *images)
        positions = self._positions(after, seen)
        self.turns.append(
            {
                "name": name, **how, "messages": list(new), "generated": generated,
                "prompt_ids": [token for token, _ in prompt],
                "images_of_slots": _runs([key for _, key in prompt]),
                "positions": [axis[: len(prompt)] for axis in positions],
                "kept": kept, "fed": len(prompt) - kept, "answer_start": len(prompt),
                "slots": len(after), "next_position": max(map(max, positions)) + 1,
                "cached_slots": len(self.cached),
            }
        )  # fmt: skip
        message = {"role": "assistant", "content": answer}
        return Said((*before.messages, *new, message), tuple(after), seen)

    def _rendered(self, messages: Sequence[Json]) -> str:
        return str(
            self._renderer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        )

    def _encoded(self, text: str) -> list[int]:
        return list(self.library.encode(text, add_special_tokens=False).ids)

    def _slots(self, text: str, images: Sequence[str]) -> list[Slot]:
        left, slots = iter(images), []
        pad = self.library.token_to_id(_PADS[0])
        for token in self._encoded(text):
            if token != pad:
                slots.append((token, None))
                continue
            key = next(left)
            t, h, w = IMAGES[key]
            slots += [(token, key)] * (t * h * w // 4)
        return slots

    def _positions(self, slots: Sequence[Slot], images: Sequence[str]) -> list[list[int]]:
        """by_rule knows the ids that stand for images in the other goldens."""
        ids = [SPECIAL["image_pad"] if key else 1 for _, key in slots]
        return by_rule(ids, [IMAGES[image] for image in images], 0)


def _runs(keys: Sequence[str | None]) -> list[list[Any]]:
    """[key, how many slots in a row]."""
    runs: list[list[Any]] = []
    for key in keys:
        if runs and runs[-1][0] == key:
            runs[-1][1] += 1
        else:
            runs.append([key, 1])
    return runs


def conversation_trace() -> Json:
    def user(text: str, *images: str) -> Json:
        parts = [{"type": "image", "image": image} for image in images]
        return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}

    trace = Trace()
    start = Said()
    first = trace.turn("an image", start, [user("What is this?", "cat")], "A cat", after=None)
    second = trace.turn("a second question", first, [user("And its colour?")], "Red and", cut=True, after=0)
    trace.turn("another image", second, [user("And this?", "house")], "A house", after=1)
    trace.turn("the last question edited", second, [user("Where is it?")], "Here", after=1)
    again = trace.turn("the answer made anew", second, [user("Where is it?")], "There", after=1)
    trace.turn("goes on", again, [user("Sure?")], "Yes", after=4)
    trace.turn("a fork of the first turn", first, [user("How many?")], "One", after=0)
    trace.turn("another image of that size", start, [user("What is this?", "dog")], "A dog", after=None)
    system = {"role": "system", "content": "Be brief."}
    trace.turn("another system turn", start, [system, user("What is this?", "dog")], "Dog", after=None)
    return {
        "about": "Turns on one KV cache, in order. after: the number of the turn that a turn follows; null:"
        " a new conversation. generated: the answer's ids; those of a cut answer have no stop token."
        " images_of_slots: [image or null, slots in a row]. kept: slots of the prompt that the cache held;"
        " the rest is fed. slots, next_position: of the conversation with its answer, without the stop token."
        " cached_slots: what the cache holds then; the last generated token is never fed.",
        "checkpoint": "export/pocketvl/export/tiny/checkpoint",
        "tokenizer_sha256": hashlib.sha256((CHECKPOINT / "tokenizer.json").read_bytes()).hexdigest(),
        "images": {
            name: {"grid": grid, "width": grid[2] * PATCH, "height": grid[1] * PATCH}
            for name, grid in IMAGES.items()
        },
        "turns": trace.turns,
    }
