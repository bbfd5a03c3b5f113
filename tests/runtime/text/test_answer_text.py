"""Answers as they are read: text without glued words, boxes in pixels, and an end to repetition."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime.decoding.repetition import MIN_TOKENS, repeats
from pocketvl.runtime.text.answer_text import AnswerText, Quad, boxes_in_pixels, quads_in_pixels
from pocketvl.runtime.text.grounding import Shape, in_thousandths, markup, to_pixels, to_thousandths
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.support.tokenizers import SPECIAL_TOKENS
from tests.support.vocabulary import TEXTS, write_tokenizer

GOLDEN = Path(__file__).parents[2] / "golden"
REPOSITORY = GOLDEN.parents[1]


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def test_answers_of_the_golden_file() -> None:
    data = golden("grounding")
    tokenizer = Tokenizer(REPOSITORY / data["checkpoint"] / "tokenizer.json")
    for case in data["answers"]:
        answer = AnswerText(tokenizer)
        text = "".join(answer.push(token) for token in case["ids"]) + answer.finish()
        assert text == case["text"]
        boxes = boxes_in_pixels(answer.boxes, [(7, 7), tuple(data["image_size"])])
        assert [[b.label, b.x1, b.y1, b.x2, b.y2] for b in boxes] == case["boxes"], text
        assert {box.image for box in boxes} <= {1}
        assert boxes_in_pixels(answer.boxes, []) == ()


@pytest.mark.parametrize(
    ("inside", "corners"),
    [
        ("(100,200),(300,200),(300,400),(100.5,400)", ((20, 80), (60, 80), (60, 160), (20.1, 160))),
        (" ( 0 , 0 ) ,(1000,0), (1000,1000),(0,1000) ", ((0, 0), (200, 0), (200, 400), (0, 400))),
        ("(100,200),(300,200),(300,400)", None),
        ("(100,200),(300,200),(300,400),(100,400),(1,1)", None),
        ("(100,200),(300,200),(300,400),(100,1001)", None),
        ("the sign", None),
    ],
)
def test_marked_quads_are_read(tokenizer: Tokenizer, inside: str, corners: Any) -> None:
    marked = f"<|object_ref_start|>a sign<|object_ref_end|><|quad_start|>{inside}<|quad_end|>"
    answer = AnswerText(tokenizer)
    for token in tokenizer.encode_template(marked):
        answer.push(token)
    expected = () if corners is None else (Quad("a sign", 1, corners),)
    assert quads_in_pixels(answer.quads, [(7, 7), (400, 200)]) == expected
    assert quads_in_pixels(answer.quads, []) == ()


def test_shapes_of_the_golden_file() -> None:
    for case in golden("grounding")["shapes"]:
        shape = Shape(case["kind"], tuple(case["numbers"]), in_pixels=case["size"] is not None)
        sizes = [] if case["size"] is None else [tuple(case["size"])]
        assert markup(in_thousandths(shape, sizes)) == case["markup"]


@given(side=st.integers(1, 20000), share=st.floats(0, 1))
def test_pixels_survive_thousandths_within_half_a_step(side: int, share: float) -> None:
    value = to_thousandths(share * side, side)
    assert 0 <= value <= 1000
    assert abs(to_pixels(value, side) - share * side) <= side / 2000 + 1e-6


@settings(max_examples=200)
@given(texts=st.lists(st.one_of(TEXTS, st.sampled_from(SPECIAL_TOKENS)), max_size=8))
def test_nothing_but_spaces_is_added(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids = tokenizer.encode_template("".join(texts))
    answer = AnswerText(tokenizer)
    text = "".join(answer.push(token) for token in ids) + answer.finish()
    assert text.replace(" ", "") == tokenizer.decode(ids).replace(" ", "")
    assert len(text) - len(tokenizer.decode(ids)) <= sum(token in tokenizer.special_ids for token in ids)


def test_repetition_of_the_golden_file() -> None:
    for case in golden("repetition")["cases"]:
        tokens = [*case["head"], *case["block"] * case["count"], *case["tail"]]
        assert repeats(tokens) is case["repeats"], case


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{i}. The {i}th item" for i in range(100)),
        "\n".join(f"| row {i} | yes | no | 0 | 0 |" for i in range(100)),
        "| " + " | ".join(["---"] * 20) + " |",
        "\n".join(["|  |  |  |  |"] * 6),
        "\n".join(f"Chapter {i} {'.' * 60} {i * 7}" for i in range(30)),
        "\n".join(" ".join("0" if i != j else "1" for j in range(12)) for i in range(12)),
        "=" * 100 + "\nTotal\n" + "=" * 100,
        "ha " * 30 + "and so on",
    ],
)
def test_ordinary_answers_are_no_repetition(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_text(text)
    assert not any(repeats(ids[:count]) for count in range(len(ids) + 1))


def test_an_endless_row_of_the_same_line_is(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_text("Invoice\n" + "The same line\n" * 100)
    ends = [count for count in range(len(ids)) if repeats(ids[:count])]
    assert ends[0] <= 2 * MIN_TOKENS
