"""examples/mobile_agent.py: its grammar, its loop, and the whole of it on the tiny model."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from examples.mobile_agent import (
    Action,
    ActionError,
    Back,
    Done,
    ShapesPhone,
    Swipe,
    Tap,
    Type,
    follow,
    main,
    middle,
    parse_action,
    to_pixel,
)
from pocketvl.runtime import Answer, Box, Statistics
from pocketvl.runtime.bundle.open import Bundle

WIDTH, HEIGHT = 1080, 2400
SIDE = st.integers(1, 5000)
THOUSANDTHS = st.integers(0, 1000)


def test_it_taps_what_the_tiny_model_points_at(
    tiny_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny_onnx_bundle.folder)]) == 0
    assert "pressed: circle, square, triangle" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("tap(500,250)", Tap(540, 600)),
        (" tap( 0 , 1000 )\n", Tap(0, 2399)),
        ("swipe(500,750,500,250)", Swipe(540, 1800, 540, 600)),
        ('type("say \\"hi\\" (now), é")', Type('say "hi" (now), é')),
        ('type("")', Type("")),
        ("back()", Back()),
        ("done( )", Done()),
    ],
)
def test_actions(text: str, action: Action) -> None:
    assert parse_action(text, WIDTH, HEIGHT) == action


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tap",
        "tap 1,2",
        "tap(1)",
        "tap(1,2,3)",
        "tap(1,2,)",
        "tap(-1,2)",
        "tap(1.5,2)",
        "tap(1001,2)",
        "tap(٣,٤)",
        "tap(1,2) now",
        "I will tap(1,2)",
        "tap(1,2)\ntap(3,4)",
        "swipe(1,2)",
        "type(hello)",
        "type('hello')",
        'type("a", "b")',
        'type("a") and done()',
        "type(3)",
        "back(1)",
        "Tap(1,2)",
        "press(1,2)",
        "type(" + "[" * 100000 + ")",
    ],
)
def test_what_is_no_action(text: str) -> None:
    with pytest.raises(ActionError):
        parse_action(text, WIDTH, HEIGHT)


@given(x=THOUSANDTHS, y=THOUSANDTHS, width=SIDE, height=SIDE)
def test_taps_are_on_the_screen(x: int, y: int, width: int, height: int) -> None:
    action = parse_action(f"tap({x},{y})", width, height)
    assert isinstance(action, Tap)
    assert 0 <= action.x < width
    assert 0 <= action.y < height
    assert abs((action.x + 0.5) / width - x / 1000) <= 0.5 / width + 1e-9
    assert to_pixel(0, width) == 0
    assert to_pixel(1000, width) == width - 1


@given(text=st.text())
def test_any_text_can_be_typed(text: str) -> None:
    assert parse_action(f"type({json.dumps(text)})", WIDTH, HEIGHT) == Type(text)


@given(text=st.text() | st.from_regex(r"(tap|swipe|type|back|done)\([0-9, \"a]*\)"))
def test_any_text_is_an_action_or_none(text: str) -> None:
    try:
        action = parse_action(text, WIDTH, HEIGHT)
    except ActionError:
        return
    assert isinstance(action, Action)


def test_the_middle_of_a_box() -> None:
    assert middle(Box("", 0, 10, 20, 31, 40)) == Tap(20, 30)


class Says:
    """These texts, one after the other."""

    def __init__(self, *texts: str) -> None:
        self.asked: list[str] = []
        self.images: list[Image.Image] = []
        self._texts = iter(texts)

    def ask(self, content: Any, **options: Any) -> Answer:
        self.asked.append(content)
        self.images += options["images"]
        return Answer(next(self._texts), (), (), 0, "stop", Statistics())


def test_a_goal_is_followed_until_it_is_done() -> None:
    session, phone = Says("tap(200,300)", "Now I tap(700,200).", "back()", "done()"), ShapesPhone()
    actions = follow(session, phone, "press the circle")
    assert actions == [Tap(224, 336), Back(), Done()]
    assert phone.pressed == ["circle"]
    assert "The goal: press the circle" in session.asked[0]
    assert session.asked[2] == "'Now I tap(700,200).' is no action. Write one action."
    assert [image.size for image in session.images] == [(1120, 1120)] * 4


def test_a_goal_is_given_up_after_the_last_step() -> None:
    assert follow(Says(*["tap(1,1)"] * 9), ShapesPhone(), "?", max_steps=3) == [Tap(1, 1)] * 3
