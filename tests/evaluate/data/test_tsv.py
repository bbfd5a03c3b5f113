"""Tables of questions as VLMEvalKit has them; a bad row costs itself alone."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.evaluate.data.dataset import open_dataset
from pocketvl.runtime.errors import ImageError, UsageError


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
