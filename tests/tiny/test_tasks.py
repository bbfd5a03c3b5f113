"""The tiny model's pictures, its scores and the files it ships."""

from __future__ import annotations

import json
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pocketvl.export.tiny import TASKS, Example, checkpoint_folder, iou, make_example, parse_box, score
from pocketvl.export.tiny.tasks import HELD_OUT_WORDS, TRAINED_WORDS

FOLDER = checkpoint_folder()
shipped = pytest.mark.skipif(
    not (FOLDER / "model.safetensors").exists(), reason="the checkpoint has not been trained in this tree"
)


def pixels(example: Example) -> bytes:
    return b"".join(np.asarray(image).tobytes() for image in example.images)


def test_the_tasks_are_the_six_agreed_on() -> None:
    assert TASKS == ("read", "count", "colour", "chart", "point", "pair")


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_the_same_every_time(task: str) -> None:
    first, again = make_example(task, 12), make_example(task, 12)
    assert (first.question, first.answer, first.box) == (again.question, again.answer, again.box)
    assert pixels(first) == pixels(again)


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_picture(task: str) -> None:
    trained = {pixels(make_example(task, index, "train")) for index in range(150)}
    held_out = {pixels(make_example(task, index, "held-out")) for index in range(150)}
    assert not trained & held_out


def test_held_out_words_are_never_trained() -> None:
    assert not set(TRAINED_WORDS) & set(HELD_OUT_WORDS)


@pytest.mark.parametrize("task", TASKS)
def test_examples_are_well_formed(task: str) -> None:
    for index in range(200):
        example = make_example(task, index)
        assert example.task == task
        assert len(example.images) == (2 if task == "pair" else 1)
        assert all(image.mode == "RGB" for image in example.images)
        assert all(min(image.size) >= 70 and max(image.size) <= 160 for image in example.images)
        assert len({image.size for image in example.images}) == 1
        assert example.question
        assert example.answer
        assert score(example, example.answer) == 1.0
        assert (example.box is not None) == (task == "point")


@pytest.mark.parametrize("task", TASKS)
def test_no_answer_is_right_for_most_examples(task: str) -> None:
    answers = [make_example(task, index).answer for index in range(200)]
    assert max(answers.count(answer) for answer in set(answers)) < 0.65 * len(answers)


def test_boxes_lie_inside_the_picture_and_hold_the_ink() -> None:
    for index in range(200):
        example = make_example("point", index)
        assert example.box is not None
        left, top, right, bottom = example.box
        assert 0 <= left < right <= 1000
        assert 0 <= top < bottom <= 1000
        image = example.images[0]
        middle = (round((left + right) / 2000 * image.width), round((top + bottom) / 2000 * image.height))
        assert image.getpixel(middle) != image.getpixel((0, 0)), "the middle of every shape is filled"


def test_pair_asks_for_a_kind_that_only_one_picture_has() -> None:
    answers = {make_example("pair", index).answer for index in range(20)}
    assert answers == {"first", "second"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown task 'sing'"):
        make_example("sing", 0)
    with pytest.raises(ValueError, match="unknown split"):
        make_example("read", 0, "test")  # type: ignore[arg-type]


def test_iou_by_hand() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0
    # 5x10 shared, 100 + 100 - 50 together
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    # 2x2 inside 4x4
    assert iou((1, 1, 3, 3), (0, 0, 4, 4)) == pytest.approx(4 / 16)


def test_score_of_boxes() -> None:
    example = Example("point", (), "Where?", "(0,0),(100,100)", (0, 0, 100, 100))
    assert score(example, "(0,0),(100,100)") == 1.0
    assert score(example, "It is at (0, 0), (100, 50).") == pytest.approx(0.5)
    assert score(example, "(100,100),(0,0)") == 0.0
    assert score(example, "on the left") == 0.0
    assert parse_box("(1,2),(3,4),(5,6),(7,8)") == (1, 2, 3, 4)


def test_score_of_words_is_exact() -> None:
    example = Example("read", (), "Read the text.", "CAT")
    assert score(example, " CAT\n") == 1.0
    assert score(example, "cat") == 0.0
    assert score(example, "CATS") == 0.0


@shipped
def test_the_checkpoint_is_complete_and_small() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names >= {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("preprocessor_config.json", "generation_config.json", "chat_template.jinja"),
    }
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 15_000_000
    header = _tensors(FOLDER / "model.safetensors")
    sizes = [int(np.prod(entry["shape"])) for entry in header.values()]
    assert sum(sizes) <= 6_000_000
    assert {entry["dtype"] for entry in header.values()} == {"BF16"}


@shipped
def test_the_geometry_suits_groups_of_32() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    text, vision = config["text_config"], config["vision_config"]
    assert config["model_type"] == "qwen2_vl"
    assert text["hidden_size"] % 32 == text["intermediate_size"] % 32 == vision["embed_dim"] % 32 == 0
    assert text["num_attention_heads"] > text["num_key_value_heads"]
    head = text["hidden_size"] // text["num_attention_heads"]
    assert sum(text["rope_parameters"]["mrope_section"]) == head // 2


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@shipped
@given(text=st.text())
def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    back = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    assert back == unicodedata.normalize("NFC", text)


@shipped
def test_special_tokens_and_digits(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|image_pad|><|im_end|>").tokens == ["<|image_pad|>", "<|im_end|>"]
    assert tokenizer.encode("2024").tokens == ["2", "0", "2", "4"]
    assert tokenizer.encode("CAT").tokens == ["C", "A", "T"], "words in pictures are spelled out"


def _tensors(path: Path) -> dict[str, dict[str, object]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, object]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header
