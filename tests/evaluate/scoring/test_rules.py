"""Relaxed accuracy, VQA accuracy, exact match, OCRBench, boxes: hand-worked values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.data.question import Question
from pocketvl.evaluate.scoring import METRICS, is_parsed, score
from pocketvl.evaluate.scoring.boxes import box_iou
from pocketvl.evaluate.scoring.exact import exact_match
from pocketvl.evaluate.scoring.ocrbench import HANDWRITTEN_MATHS, contains_answer
from pocketvl.evaluate.scoring.relaxed import relaxed_accuracy
from pocketvl.evaluate.scoring.vqa import process_answer, vqa_accuracy
from pocketvl.evaluate.scoring.yesno import yes_or_no, yesno_score


@pytest.mark.parametrize(
    ("right", "answer", "expected"),
    [
        ("100", "105", 1),  # the border of 5 %
        ("100", "105.1", 0),
        ("100", "95", 1),
        ("-4", "-4.1", 1),
        ("-4", "4", 0),
        ("25%", "0.25", 1),
        ("25%", "25", 0),
        ("0.25", "26 %", 1),
        ("0", "0", 1),
        ("0", "0.0", 1),
        ("0", "0.01", 0),
        ("1,000", "1000", 0),  # with a comma it is a text
        ("1,000", "1,000", 1),
        ("Yes", "yes ", 1),
        ("Yes", "", 0),
        ("nan", "nan", 1),
        ("5", "1e999", 0),
        ("3", "3 apples", 0),
        ("two", "2", 0),
    ],
)
def test_relaxed_accuracy(right: str, answer: str, expected: float) -> None:
    assert relaxed_accuracy([right], answer) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_a_number_is_within_five_percent_of_itself(value: float, percent: bool) -> None:
    text = f"{value!r}%" if percent else repr(value)
    assert relaxed_accuracy([text], text) == 1


@pytest.mark.parametrize(
    ("text", "processed"),
    [
        ("The two dogs.", "2 dogs"),
        ("a", ""),
        ("none", "0"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("they'dve", "they'd've"),
        ("its", "its"),
        ("red, blue", "red blue"),
        ("black/white", "black white"),
        ("t-shirt", "t shirt"),
        ("t-shirt -", "tshirt"),  # beside a space somewhere: taken out everywhere
        ("1,000 m/s", "1000 ms"),  # a number with a comma: no sign leaves a space
        ("3.5", "3.5"),
        ("Mr. X", "mr x"),
        ("yes\nno\tmaybe", "yes no maybe"),
        ("Übergröße!", "übergröße"),
    ],
)
def test_answers_are_processed(text: str, processed: str) -> None:
    assert process_answer(text) == processed


@pytest.mark.parametrize(
    ("agreeing", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)
def test_vqa_accuracy_counts_people(agreeing: int, expected: float) -> None:
    # One agrees: 9 of 10 subsets hold that person, each worth 1/3. Three: 7 are worth 1, 3 worth 2/3.
    answers = ["a cat"] * agreeing + ["dog"] * (10 - agreeing)
    assert vqa_accuracy(answers, "Cat.") == pytest.approx(expected)


def test_exact_match() -> None:
    assert exact_match(["RED"], " red\n") == 1
    assert exact_match(["red", "crimson"], "Crimson") == 1
    assert exact_match(["red"], "red.") == 0
    assert exact_match(["STRASSE"], "straße") == 1
    assert exact_match(["red"], "") == 0


def test_ocrbench_looks_for_the_answer_inside() -> None:
    assert contains_answer(["CENTRE"], "It says\ncentre.", "Regular Text Recognition") == 1
    assert contains_answer(["one\nway"], "ONE WAY", "Regular Text Recognition") == 1
    assert contains_answer(["oneway"], "one way", "Regular Text Recognition") == 0
    assert contains_answer(["x ^ 2"], "y = x^ 2", HANDWRITTEN_MATHS) == 1
    assert contains_answer(["X ^ 2"], "x^2", HANDWRITTEN_MATHS) == 0
    assert contains_answer(["a"], "", "Regular Text Recognition") == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(0,0),(100,100)", 1.0),
        ("<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(0,0),(100,50)<|box_end|>", 0.5),
        ("(50,0), (150,100)", 1 / 3),
        ("(200,200),(300,300)", 0.0),
        ("(100,100),(0,0)", 0.0),
        ("no idea", 0.0),
        ("", 0.0),
    ],
)
def test_boxes(answer: str, expected: float) -> None:
    assert box_iou((0, 0, 100, 100), answer) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("Yes", True),
        ("yes.", True),
        (" **Yes**, there are two.", True),
        ("Yes, there is no dog.", True),
        ("No", False),
        ("No, there is no dog.", False),
        ("NO!", False),
        ("There is no dog in the image.", False),
        ("The answer is yes.", True),
        ("Answer: no", False),
        ("Yes and no.", None),
        ("yes/no", None),
        ("The answer is yes, not no.", None),
        ("I do not know", None),  # not is no no
        ("nothing", None),
        ("Yesterday", None),
        ("Notably", None),
        ("none", None),
        ("", None),
        ("?!", None),
    ],
)
def test_yes_and_no(answer: str, says: bool | None) -> None:
    assert yes_or_no(answer) is says
    assert yesno_score(["Yes"], answer) == (says is True)
    assert yesno_score(["no."], answer) == (says is False)


@pytest.mark.parametrize(
    ("metric", "answer", "parsed"),
    [
        ("yesno", "no", True),
        ("yesno", "maybe", False),
        ("choice", "C", True),
        ("choice", "red or green", False),
        ("iou", "(1,2),(3,4)", True),
        ("iou", "there", False),
        ("exact", "", True),
    ],
)
def test_answers_without_what_the_metric_looks_for(metric: str, answer: str, parsed: bool) -> None:
    assert is_parsed(metric, question(metric, "no"), answer) is parsed


def question(metric: str, *answers: str) -> Question:
    box = (10, 20, 30, 40) if metric == "iou" else None
    choices = ("red", "green", "blue") if metric == "choice" else ()
    return Question("1", "task", (), "Which?", answers, choices, metric, box)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_scores_its_right_answer_1(metric: str) -> None:
    right = {"iou": "(10,20),(30,40)", "choice": "B", "yesno": "no"}.get(metric, "green")
    asked = question(metric, *([right] * 4))
    assert score(metric, asked, right) == 1
    assert score(metric, asked, "something else entirely") == 0


@given(st.sampled_from(METRICS), st.text(max_size=20))
def test_scores_lie_between_0_and_1(metric: str, answer: str) -> None:
    assert 0 <= score(metric, question(metric, "green", "7", "4 %", "B"), answer) <= 1
