"""Datasets in every format: what is read, what is refused and how it is said."""

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.evaluate.data.dataset import open_dataset
from pocketvl.evaluate.data.prompts import DEFAULT_PROMPTS, render
from pocketvl.evaluate.scoring import METRICS, score
from pocketvl.export.tiny import TASKS, make_example
from pocketvl.runtime.errors import MissingExtraError, UsageError


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def b64(colour: str) -> str:
    return base64.b64encode(png(colour)).decode()


def write_tsv(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header.replace(",", "\t"), *(row.replace("|", "\t") for row in rows), ""]))
    return path


def write_jsonl(path: Path, *objects: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in objects))
    return path


def test_generated_examples_are_those_of_the_tiny_model() -> None:
    dataset = open_dataset("generated:2@7")
    assert [question.id for question in dataset.questions] == [
        f"{task}-{i}" for task in TASKS for i in (7, 8)
    ]
    for question in dataset.questions:
        task, index = question.id.split("-")
        example = make_example(task, int(index))
        assert question.prompt == example.question
        assert [ref.load().tobytes() for ref in question.images] == [i.tobytes() for i in example.images]
        assert score(question.metric, question, example.answer) == 1
    assert {question.metric for question in dataset.questions if question.task == "point"} == {"iou"}


def test_generated_tasks_can_be_chosen_and_limited() -> None:
    dataset = open_dataset("generated/count:5@3", limit=2)
    assert [question.id for question in dataset.questions] == ["count-3", "count-4"]
    assert dataset.name == "generated-count"


@pytest.mark.parametrize(
    "spec", ["generated:0", "generated:x", "generated/paint:3", "generated:2@", "generated:"]
)
def test_impossible_drawings_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        open_dataset(spec)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"image": "pipe.png", "question": "a", "answer": "b"},
        {"image": "a\0b.png", "question": "a", "answer": "b"},
        {"question": "a", "answer": "b"},
    )
    dataset = open_dataset(str(path))
    assert len(dataset.questions) == 1
    assert "line 1, image: " in dataset.bad_rows[0].reason
    assert "not a regular file" in dataset.bad_rows[0].reason
    assert "line 2, image: " in dataset.bad_rows[1].reason


def test_arrow_folders(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    rows = {"image": images, "question": ["Which?"] * 2, "answers": [["red"], ["blue", "navy"]]}
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(tmp_path / "val")
    dataset = open_dataset(str(tmp_path / "val"), metric="anls")
    assert [question.answers for question in dataset.questions] == [("red",), ("blue", "navy")]
    assert dataset.questions[1].images[0].load().getpixel((0, 0)) == (0, 0, 255)
    datasets.DatasetDict({"val": datasets.load_from_disk(tmp_path / "val")}).save_to_disk(tmp_path / "all")
    with pytest.raises(UsageError, match="several splits"):
        open_dataset(str(tmp_path / "all"))


def test_without_datasets_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[datasets\]'"):
        open_dataset(str(tmp_path))


def test_metrics_follow_the_name_of_a_published_dataset(tmp_path: Path) -> None:
    for name, metric in (("DocVQA_VAL", "anls"), ("ChartQA_TEST", "relaxed"), ("OCRBench", "ocrbench")):
        path = write_tsv(tmp_path / f"{name}.tsv", "index,question,answer", "1|What?|7")
        (question,) = open_dataset(str(path)).questions
        assert question.metric == metric
        assert question.prompt == DEFAULT_PROMPTS[metric].replace("{question}", "What?")
        assert (
            open_dataset(str(path), metric="exact", prompt="Q: {question}").questions[0].prompt == "Q: What?"
        )


def test_vqa_needs_enough_people(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "few.jsonl", {"question": "a", "answer": "b"})
    with pytest.raises(UsageError, match="at least 4"):
        open_dataset(str(path), metric="vqa")
    with pytest.raises(UsageError, match="line 1, box"):
        open_dataset(str(path), metric="iou")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "bleu"}, "known are anls"),
        ({"prompt": "Answer!"}, "leaves the question out"),
        ({"limit": 0}, "At least 1"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset("generated:1", **arguments)  # type: ignore[arg-type]


def test_files_that_are_no_dataset_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("index,question,answer")
    for spec, message in (
        (tmp_path / "a.csv", "neither"),
        (tmp_path / "no.tsv", "not exist"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(UsageError, match=message):
            open_dataset(str(spec))


CHANGES: dict[str, Callable[[dict[str, object]], dict[str, object]]] = {
    "question": lambda value: value | {"question": "Which one?"},
    "answer": lambda value: value | {"answer": "blue"},
    "picture": lambda value: value | {"image": f"data:image/png;base64,{b64('blue')}"},
    "id": lambda value: value | {"id": "2"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_covers_what_matters(change: str, tmp_path: Path) -> None:
    base = {"image": f"data:image/png;base64,{b64('red')}", "question": "Which?", "answer": "red"}
    path = write_jsonl(tmp_path / "a.jsonl", base)
    before = open_dataset(str(path)).fingerprint
    assert open_dataset(str(path)).fingerprint == before
    assert open_dataset(str(path), prompt="{question} Be short.").fingerprint != before
    assert open_dataset(str(path), metric="anls").fingerprint != before
    write_jsonl(path, CHANGES[change](base))
    assert open_dataset(str(path)).fingerprint != before


def test_answers_that_are_all_yes_or_no_are_scored_as_such(tmp_path: Path) -> None:
    header, rows = "index,category,question,answer", ("1|a|Is it?|Yes", "2|b|Is it?|no", "3|b|Is it?|No.")
    path = write_tsv(tmp_path / "POPE.tsv", header, *rows)
    questions = open_dataset(str(path)).questions
    assert [question.metric for question in questions] == ["yesno"] * 3
    assert [score("yesno", question, "No, there is none.") for question in questions] == [0, 1, 1]
    write_tsv(path, header, *rows, "4|b|How many?|3")
    assert {question.metric for question in open_dataset(str(path)).questions} == {"exact"}
    dataset = open_dataset(str(path), metric="yesno")
    assert (len(dataset.questions), len(dataset.bad_rows)) == (3, 1)
    assert "'3' is neither yes nor no" in dataset.bad_rows[0].reason


def test_the_options_of_a_table_come_before_yes_and_no(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "mc.tsv", "index,question,answer,A,B", "1|Is it?|yes|yes|no")
    assert open_dataset(str(path)).questions[0].metric == "choice"


def test_every_metric_has_a_prompt() -> None:
    assert set(DEFAULT_PROMPTS) == set(METRICS)
    assert render("{choices}|{question}|{x}", "{choices}", ["a", "b"]) == "A. a\nB. b|{choices}|{x}"


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "half.jsonl", {"question": "a\ud800", "answer": "b"})
    with pytest.raises(UsageError, match="line 1, text: half of a surrogate"):
        open_dataset(str(path))
