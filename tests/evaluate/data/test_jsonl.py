"""Questions as lines of JSON."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.evaluate.data.dataset import open_dataset
from pocketvl.runtime.errors import UsageError


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def b64(colour: str) -> str:
    return base64.b64encode(png(colour)).decode()


def write_jsonl(path: Path, *objects: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in objects))
    return path


def test_jsonl_with_paths_and_data_urls(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "red.png").write_bytes(png("red"))
    path = write_jsonl(
        tmp_path / "mine.jsonl",
        {"image": "images/red.png", "question": "Which?", "answer": "red"},
        {
            "id": "both",
            "task": "pair",
            "images": ["images/red.png", f"data:image/png;base64,{b64('blue')}"],
            "question": "Which?",
            "answers": ["red", "blue"],
            "choices": ["red", "blue", "green"],
        },
        {"question": "Where?", "answer": "there", "box": [0, 0, 10, 10]},
        {"question": "How many?", "answer": 3},
    )
    first, both, where, number = open_dataset(str(path)).questions
    assert (first.id, first.task, first.metric) == ("1", "mine", "exact")
    assert both.images[1].load().getpixel((0, 0)) == (0, 0, 255)
    assert (both.id, both.task, both.metric) == ("both", "pair", "choice")
    assert (where.metric, where.box) == ("iou", (0, 0, 10, 10))
    assert number.answers == ("3",)


JSONL_FAULTS: dict[str, tuple[object, str]] = {
    "not an object": ([1], "line 2 is not an object"),
    "unknown key": ({"question": "a", "answer": "b", "imgae": "x"}, "line 2, 'imgae': is not known"),
    "no question": ({"answer": "b"}, "line 2, question: is no text"),
    "no answer": ({"question": "a"}, "line 2, answer: is missing"),
    "both": ({"question": "a", "answer": "b", "answers": ["b"]}, "line 2, answer: stands beside answers"),
    "kind": ({"question": "a", "answer": {"b": 1}}, "line 2, answer: must be a string"),
    "empty": ({"question": "a", "answers": ["b", " "]}, "line 2, answer: is empty"),
    "missing file": ({"image": "no.png", "question": "a", "answer": "b"}, "no.png does not exist"),
    "data url": ({"image": "data:image/png,abc", "question": "a", "answer": "b"}, "holds no base64"),
    "box": ({"question": "a", "answer": "b", "box": [1, 2, 3]}, "line 2, box: must be four integers"),
    "empty box": ({"question": "a", "answer": "b", "box": [9, 0, 9, 5]}, "line 2, box: encloses nothing"),
    "same id": ({"id": "1", "question": "a", "answer": "b"}, "line 2, id: '1' occurs twice"),
}


@pytest.mark.parametrize("fault", JSONL_FAULTS)
def test_jsonl_faults_are_named(fault: str, tmp_path: Path) -> None:
    value, message = JSONL_FAULTS[fault]
    path = write_jsonl(tmp_path / "bad.jsonl", {"question": "fine?", "answer": "yes"}, value)
    with pytest.raises(UsageError) as raised:
        open_dataset(str(path), strict=True)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    dataset = open_dataset(str(path))
    assert [question.id for question in dataset.questions] == ["1"]
    assert [row.reason for row in dataset.bad_rows] == [str(raised.value)]
    assert dataset.bad_rows[0].where == f"{path}, line 2"


def test_a_torn_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_text('{"question": "a", "answer": "b"}\n{"question": "a", "ans')
    with pytest.raises(UsageError, match="line 2 is not valid JSON"):
        open_dataset(str(path), strict=True)
    assert len(open_dataset(str(path)).questions) == 1
