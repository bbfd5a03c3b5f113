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
from pocketvl.runtime.errors import ImageError, MissingExtraError, UsageError


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


# generated


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


# VLMEvalKit


def test_tsv_images_in_all_their_forms(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(png("grey"))
    path = write_tsv(
        tmp_path / "some.tsv",
        "index,image,question,answer,category,hint,image_path",
        f"1|{b64('red')}|Which colour?|red|one||",
        "2|1|And now?|red|pointer||",
        f"3|['{b64('blue')}', '{b64('lime')}']|Both?|['blue and lime', \"lime\"]|list|Look twice.|",
        "4||Which?|grey|path||grey.png",
        "5||Hello?|yes|none||",
        "6|7|Before?|white|forward||",
        f"7|{b64('white')}|Which?|white|one||",
    )
    questions = open_dataset(str(path)).questions
    colours = [[ref.load().getpixel((0, 0)) for ref in question.images] for question in questions]
    red, white = (255, 0, 0), (255, 255, 255)
    assert colours == [[red], [red], [(0, 0, 255), (0, 255, 0)], [(128, 128, 128)], [], [white], [white]]
    assert questions[0].images[0].identity == questions[1].images[0].identity
    assert questions[2].answers == ("blue and lime", "lime")
    assert questions[2].prompt == "Look twice.\nBoth?"
    assert [question.task for question in questions][:3] == ["one", "pointer", "list"]


def test_tsv_quotes_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "quoted.tsv"
    rows = f'1\t"Which\n""colour""?"\tred\t{b64("red")}\r\n2\t"a\tb"\tblue\t{b64("blue")}\r\n'
    path.write_bytes(("\ufeffindex\tquestion\tanswer\timage\r\n" + rows).encode())
    first, second = open_dataset(str(path)).questions
    assert first.prompt == 'Which\n"colour"?'
    assert second.prompt == "a\tb"
    assert second.images[0].load().getpixel((0, 0)) == (0, 0, 255)


def test_tsv_choices_make_a_multiple_choice_question(tmp_path: Path) -> None:
    path = write_tsv(
        tmp_path / "mc.tsv",
        "index,image,question,answer,A,B,C",
        f"1|{b64('red')}|Which {{choices}}?|B|red|blue|",
    )
    (question,) = open_dataset(str(path)).questions
    assert (question.metric, question.choices) == ("choice", ("red", "blue"))
    assert question.prompt == (
        "Which {choices}?\nA. red\nB. blue\nAnswer with the option's letter from the given choices directly."
    )


def test_a_limit_stops_reading_once_pointers_are_found(tmp_path: Path) -> None:
    header, rows = (
        "index,image,question,answer",
        ("1|3|a?|x", "2|3|b?|x", f"3|{b64('red')}|c?|x", "broken row"),
    )
    path = write_tsv(tmp_path / "long.tsv", header, *rows)
    assert len(open_dataset(str(path), limit=1).questions) == 1
    with pytest.raises(UsageError, match="line 5 has 1 columns"):
        open_dataset(str(path), strict=True)


TSV_FAULTS: dict[str, tuple[str, list[str], str]] = {
    "no answer column": ("index,question", ["1|a"], "line 1, answer: this column is missing"),
    "column twice": ("index,question,answer,answer", ["1|a|b|c"], "'answer': this column stands twice"),
    "columns": ("index,question,answer", ["1|a|b", "2|a"], "line 3 has 2 columns"),
    "double id": ("index,question,answer", ["1|a|b", "1|c|d"], "line 3, index: '1' occurs twice"),
    "no index": ("index,question,answer", ["|a|b"], "line 2, index: is empty"),
    "no question": ("index,question,answer", ["1| |b"], "line 2, question: is empty"),
    "no answer": ("index,question,answer", ["1|a|"], "line 2, answer: is empty"),
    "pointer": ("index,image,question,answer", ["1|9|a|b"], "line 2, image: '9' points to no row"),
    "to a pointer": ("index,image,question,answer", ["1|2|a|b", "2|3|a|b"], "'2' points to no row"),
    "base64": ("index,image,question,answer", ["1|" + "x!" * 60 + "|a|b"], "line 2, image: is no base64"),
    "list": ("index,image,question,answer", ["1|['" + "x" * 80 + "|a|b"], "line 2, image: is no list"),
    "file": ("index,image_path,question,answer", ["1|none.png|a|b"], "none.png does not exist"),
    "gap": ("index,question,answer,A,B,C", ["1|a|A|x||z"], "line 2, B: is empty"),
    "no option": ("index,question,answer,A,B", ["1|a|C|x|y"], "line 2, answer: 'C' is neither"),
    "one option": ("index,question,answer,A", ["1|a|A|x"], "line 2, choices: the metric choice needs"),
    "quote": ("index,question,answer", ['1|"a|b'], "is no row of a table"),
    "nothing": ("index,question,answer", [], "holds no questions"),
}


@pytest.mark.parametrize("fault", TSV_FAULTS)
def test_tsv_faults_are_named(fault: str, tmp_path: Path) -> None:
    header, rows, message = TSV_FAULTS[fault]
    path = write_tsv(tmp_path / "bad.tsv", header, *rows)
    with pytest.raises(UsageError) as raised:
        open_dataset(str(path), strict=True)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.tsv"
    path.write_bytes("index\tquestion\tanswer\n1\tcafé\tyes\n".encode("latin-1"))
    with pytest.raises(UsageError, match="line 2 is not UTF-8"):
        open_dataset(str(path))


def test_an_image_that_cannot_be_decoded_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    damaged = base64.b64encode(png("red")[:60]).decode() + "AAAA" * 10
    path = write_tsv(tmp_path / "damaged.tsv", "index,image,question,answer", f"q7|{damaged}|a|b")
    (question,) = open_dataset(str(path)).questions
    with pytest.raises(ImageError, match=r"damaged\.tsv, line 2, the image of question q7"):
        question.images[0].load()
    with pytest.raises(ImageError, match="line 2"):
        open_dataset(str(path), strict=True)


def test_an_image_file_that_vanished_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png("red"))
    path = write_jsonl(tmp_path / "a.jsonl", {"image": "red.png", "question": "a", "answer": "b"})
    (question,) = open_dataset(str(path)).questions
    (tmp_path / "red.png").unlink()
    with pytest.raises(ImageError, match=r"line 1.*does not exist"):
        question.images[0].load()


GOOD_ROWS = {
    "index,question,answer": "good|a|b",
    "index,image,question,answer": f"good|{b64('red')}|a|b",
    "index,image_path,question,answer": "good||a|b",
    "index,question,answer,A,B,C": "good|a|A|x|y|z",
    "index,question,answer,A,B": "good|a|A|x|y",
    "index,question,answer,A": "good|a|b|",
}


@pytest.mark.parametrize("fault", [f for f in TSV_FAULTS if TSV_FAULTS[f][0] in GOOD_ROWS and f != "quote"])
def test_a_bad_row_of_a_table_costs_itself_alone(fault: str, tmp_path: Path) -> None:
    header, rows, message = TSV_FAULTS[fault]
    path = write_tsv(tmp_path / "some.tsv", header, *rows, GOOD_ROWS[header])
    dataset = open_dataset(str(path))
    assert dataset.questions[-1].id == "good"
    assert len(dataset.questions) + len(dataset.bad_rows) == len(rows) + 1
    assert any(message in row.reason and str(path) in row.reason for row in dataset.bad_rows) == bool(rows)


def test_bad_rows_count_as_rows_of_the_limit(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "some.tsv", "index,question,answer", "1|a|", "2|a|b", "3|a|b")
    dataset = open_dataset(str(path), limit=2)
    assert ([q.id for q in dataset.questions], len(dataset.bad_rows)) == (["2"], 1)


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


# JSON lines


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


# datasets.save_to_disk


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


# all formats


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
