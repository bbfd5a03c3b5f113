"""A phone that is operated by looking at it: screenshots in, actions out.

    pocketvl export tiny -o tiny-bundle --target onnx --recipe fp32
    python examples/mobile_agent.py tiny-bundle

Two ways from a screenshot to an action:

press()   asks where a thing is and taps the middle of its box. Any model that points can do this; main() does
          it with the tiny model, on a screen that shows shapes.
follow()  gives a goal to a model that was trained to act. It writes one action at a time, in this grammar,
          with coordinates in thousandths of the screen:

              tap(X,Y)  swipe(X1,Y1,X2,Y2)  type("TEXT")  back()  done()
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from pocketvl.export.tiny.drawing import Shape, draw_shapes
from pocketvl.runtime import Answer, Box, ChatSession, Sampler, load

THOUSAND = 1000
PROMPT = """The goal: {goal}
Write the next action and nothing else: tap(X,Y), swipe(X1,Y1,X2,Y2), type("TEXT"), back() or done().
X and Y are thousandths of the screen's width and height."""


@dataclass(frozen=True)
class Tap:
    """x, y: pixels of the screen from its upper left corner, as in Swipe."""

    x: int
    y: int


@dataclass(frozen=True)
class Swipe:
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class Type:
    text: str


@dataclass(frozen=True)
class Back:
    pass


@dataclass(frozen=True)
class Done:
    pass


Action = Tap | Swipe | Type | Back | Done


class ActionError(ValueError):
    """A text that is no action; its message is for the model."""


_CALL = re.compile(r"(tap|swipe|type|back|done)\((.*)\)", re.DOTALL)
_NUMBERS = re.compile(r"\s*\d{1,4}\s*(,\s*\d{1,4}\s*)*", re.ASCII)


def parse_action(text: str, width: int, height: int) -> Action:
    """One action and nothing beside it, for a screen of that many pixels. Raises ActionError."""
    found = _CALL.fullmatch(text.strip())
    if found is None:
        raise ActionError(f"{text.strip()!r:.100} is no action.")
    name, inside = found.groups()
    if name in ("back", "done"):
        if inside.strip():
            raise ActionError(f"{name} takes nothing in its brackets.")
        return Back() if name == "back" else Done()
    if name == "type":
        return Type(_text(inside))
    numbers = _coordinates(name, inside, 2 if name == "tap" else 4)
    sides = (width, height)
    pixels = [to_pixel(number, sides[i % 2]) for i, number in enumerate(numbers)]
    return Tap(*pixels) if name == "tap" else Swipe(*pixels)


def to_pixel(thousandths: float, side: int) -> int:
    """The pixel of `side` that a coordinate falls on; 1000 is the last one's edge."""
    return min(side - 1, int(thousandths * side / THOUSAND))


def middle(box: Box) -> Tap:
    """Where to tap what a box encloses; boxes are in pixels already."""
    return Tap(int((box.x1 + box.x2) / 2), int((box.y1 + box.y2) / 2))


def _text(inside: str) -> str:
    try:
        text = json.loads(inside)
    except (ValueError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise ActionError('type takes one text in double quotes: type("TEXT").')
    return text


def _coordinates(name: str, inside: str, count: int) -> list[int]:
    numbers = list(map(int, inside.split(","))) if _NUMBERS.fullmatch(inside) else []
    if len(numbers) != count or max(numbers) > THOUSAND:
        raise ActionError(f"{name} takes {count} whole numbers from 0 to {THOUSAND}.")
    return numbers


class Phone(Protocol):
    """What has to be written for a real one: with adb, or the system's accessibility service."""

    def screenshot(self) -> Image.Image: ...

    def perform(self, action: Action) -> None: ...


class Asks(Protocol):
    """What is needed of a ChatSession."""

    def ask(self, content: Any, **options: Any) -> Answer: ...


def press(session: ChatSession, phone: Phone, thing: str) -> Tap | None:
    """Tap `thing`, such as "the circle"; None if the answer has no box."""
    session.reset()
    answer = session.ask(f"Where is {thing}?", images=[phone.screenshot()], sampler=Sampler(), max_tokens=32)
    if not answer.boxes:
        return None
    action = middle(answer.boxes[0])
    phone.perform(action)
    return action


def follow(session: Asks, phone: Phone, goal: str, max_steps: int = 10) -> list[Action]:
    """Actions until the model is done, or after max_steps; what is no action is said to the model."""
    actions: list[Action] = []
    said = PROMPT.format(goal=goal)
    for _ in range(max_steps):
        screen = phone.screenshot()
        answer = session.ask(said, images=[screen], sampler=Sampler(), max_tokens=64)
        try:
            action = parse_action(answer.text, *screen.size)
        except ActionError as error:
            said = f"{error} Write one action."
            continue
        actions.append(action)
        if isinstance(action, Done):
            break
        phone.perform(action)
        said = "The screen after it. The next action?"
    return actions


@dataclass
class ShapesPhone:
    """A phone of one screen that shows shapes, and remembers which were tapped.

    The screen is drawn as the tiny model's pictures are, and enlarged to as many pixels as a phone has.
    """

    zoom: int = 8
    pressed: list[str] = field(default_factory=list)

    def screenshot(self) -> Image.Image:
        small = draw_shapes(SIDE, SIDE, PAPER, SHAPES)
        return small.resize((SIDE * self.zoom, SIDE * self.zoom), Image.Resampling.NEAREST)

    def perform(self, action: Action) -> None:
        if not isinstance(action, Tap):
            return
        x, y = action.x / self.zoom, action.y / self.zoom
        for shape in SHAPES:
            if shape.x <= x < shape.x + shape.size and shape.y <= y < shape.y + shape.size:
                self.pressed.append(shape.kind)


SIDE = 140  # pixels, as the tiny model was trained
PAPER = 218
SHAPES = (
    Shape("circle", "blue", 15, 20, 42),
    Shape("square", "green", 85, 12, 40),
    Shape("triangle", "red", 70, 84, 46),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if each shape was hit."""
    parser = argparse.ArgumentParser(description="Tap what a tiny model points at.")
    parser.add_argument("bundle", help="of `pocketvl export tiny`")
    bundle = parser.parse_args(arguments).bundle
    phone, wanted = ShapesPhone(), [shape.kind for shape in SHAPES]
    with load(bundle) as model:
        session = model.chat(max_pixels=SIDE**2)
        for kind in wanted:
            action = press(session, phone, f"the {kind}")
            print(f"the {kind}: {action}")
    print("pressed:", ", ".join(phone.pressed))
    return 0 if phone.pressed == wanted else 1


if __name__ == "__main__":
    raise SystemExit(main())
