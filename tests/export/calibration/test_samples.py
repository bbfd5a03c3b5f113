"""Calibration data is checked before anything is computed."""

import json
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.export.calibration.inputs import InputMaker
from pocketvl.export.calibration.samples import DEFAULT_PROMPT, Sample, load_samples, samples_fingerprint
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.quant.recipe import Calibration
from pocketvl.runtime.errors import CalibrationError
from pocketvl.runtime.text.tokenizer import Tokenizer
from tools.general_set import make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(4):
        Image.new("RGB", (40, 30), (index * 50, 0, 0)).save(tmp_path / f"{index}.png")
    (tmp_path / "2.txt").write_text("What colour?\n")
    return tmp_path


def test_a_folder_of_images(folder: Path) -> None:
    samples = load_samples(Calibration(str(folder), 4))
    assert sorted(sample.prompt for sample in samples) == [DEFAULT_PROMPT] * 3 + ["What colour?"]
    assert all(sample.answer is None and sample.load_images()[0].size == (40, 30) for sample in samples)
    assert len(load_samples(Calibration(str(folder), 2))) == 2


def test_images_that_are_not_read_by_the_letter(folder: Path) -> None:
    Image.new("I;16", (40, 30), 4000).save(folder / "3.png")
    (folder / "data.jsonl").write_text('{"image": "3.png", "prompt": "A?"}')
    for data, count in ((folder, 4), (folder / "data.jsonl", 1)):
        notes = [note for sample in load_samples(Calibration(str(data), count)) for note in sample.notes]
        assert ["has samples of 16 bits that use only 12" in note for note in notes] == [True]


def test_the_seed_draws(folder: Path) -> None:
    drawn = [load_samples(Calibration(str(folder), 2, seed)) for seed in range(8)]
    assert load_samples(Calibration(str(folder), 2, 3)) == drawn[3]
    assert len({samples_fingerprint(samples) for samples in drawn}) > 1


def test_lines(folder: Path) -> None:
    lines = [
        {"image": "0.png", "prompt": "A?", "answer": "a"},
        {"images": ["1.png", "2.png"], "question": "B?"},
        {"prompt": "C?", "answer": "c"},
    ]
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    samples = sorted(load_samples(Calibration(str(path), 3)), key=lambda sample: sample.prompt)
    assert [(s.prompt, s.answer, len(s.images)) for s in samples] == [
        ("A?", "a", 1),
        ("B?", None, 2),
        ("C?", "c", 0),
    ]
    before = samples_fingerprint(tuple(samples))
    Image.new("RGB", (40, 30), "blue").save(folder / "0.png")
    assert samples_fingerprint(tuple(samples)) != before


def test_the_general_set_is_what_its_script_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", str(tmp_path)])
    make.main()
    assert "128 samples" in capsys.readouterr().out
    text = (tmp_path / "samples.jsonl").read_text("utf-8")
    assert text == (make.SHIPPED / "samples.jsonl").read_text("utf-8")
    images = [json.loads(line)["image"] for line in text.splitlines() if '"image": ' in line]
    assert sorted(images) == sorted(path.name for path in make.SHIPPED.glob("*.webp"))
    for name in images:
        made, shipped = (
            np.asarray(Image.open(folder / name), np.float64) for folder in (tmp_path, make.SHIPPED)
        )
        assert abs(made - shipped).mean() < 2  # another libwebp may round in another way


def test_the_general_set_has_many_scripts_and_real_sizes() -> None:
    samples = load_samples(Calibration("general"))
    assert len(samples) == 128
    words = "".join(sample.prompt + (sample.answer or "") for sample in samples)
    kinds = {unicodedata.name(letter, "").split()[0] for letter in words if letter.isalpha()}
    assert {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA", "KATAKANA"} <= kinds
    assert len({sample.prompt for sample in samples if sample.plain}) > 60
    assert any("<tool_call>" in (sample.answer or "") for sample in samples)
    sizes = [image.size for sample in samples for image in sample.load_images()]
    assert len(sizes) > 30
    assert max(max(size) for size in sizes) >= 672
    assert load_samples(Calibration("general", 8)) != load_samples(Calibration("general", 8, seed=1))
    with pytest.raises(CalibrationError, match="general holds 128 samples, but the recipe asks for 129"):
        load_samples(Calibration("general", 129))


def test_text_lines_and_system_turns(folder: Path) -> None:
    lines = [
        {"text": "Running text, <|im_start|> and all."},
        {"prompt": "A?", "answer": "a", "system": "Be brief."},
    ]
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    chat, plain = sorted(load_samples(Calibration(str(path), 2)), key=lambda sample: sample.prompt)
    assert (plain.prompt, plain.answer, plain.images, plain.plain) == (lines[0]["text"], None, (), True)
    assert (chat.prompt, chat.answer, chat.system, chat.plain) == ("A?", "a", "Be brief.", False)
    as_prompt = replace(plain, plain=False)
    without = replace(chat, system=None)
    assert len({samples_fingerprint((one,)) for one in (plain, as_prompt, chat, without)}) == 4


def test_text_is_not_put_into_a_turn(tmp_path: Path) -> None:
    checkpoint = open_checkpoint("tiny")
    maker = InputMaker(checkpoint, checkpoint.image, (64,), 1024)
    tokenizer = Tokenizer(checkpoint.tokenizer_file)
    plain = Sample((), "Ends in <|im_end|> as text.", None, plain=True)
    ids = maker.make(plain, 1).text.token_ids.tolist()
    assert ids == tokenizer.encode_text(plain.prompt)
    assert tokenizer.token_id("<|im_end|>") not in ids
    turn = maker.make(Sample((), "A?", "a", system="Be brief."), 1).text.token_ids.tolist()
    said = tokenizer.encode_template(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nA?<|im_end|>\n"
        "<|im_start|>assistant\na<|im_end|>\n"
    )
    assert turn == said
    with pytest.raises(CalibrationError, match=r"sample 7: it has .* tokens.* split the text"):
        maker.make(Sample((), "words " * 2000, None, plain=True), 7)


def test_generated_images_are_never_the_held_out_ones_and_can_be_enlarged() -> None:
    small = load_samples(Calibration("generated", 12))
    assert len({sample.prompt for sample in small}) > 3
    assert all(sample.answer for sample in small)
    large = load_samples(Calibration("generated:280", 6))
    assert all(max(image.size) == 280 for sample in large for image in sample.load_images())
    assert samples_fingerprint(small) != samples_fingerprint(load_samples(Calibration("generated", 12, 1)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"image": "0.png", "prompt": "A?"}\n{"image": ', "data.jsonl, line 2 is not valid JSON"),
        ('{"image": "9.png", "prompt": "A?"}', "line 1: .*9.png"),
        ('{"image": "0.png"}', "line 1 needs a 'prompt'"),
        (
            '{"image": "0.png", "prompt": "A?", "ansewr": "b"}',
            "line 1 must be an object with some of the keys",
        ),
        ('{"images": "0.png", "prompt": "A?"}', "line 1: 'images' must be a list"),
        ('{"image": "0.png", "prompt": "A?", "answer": 3}', "line 1 needs"),
        ('{"prompt": "A?", "system": ["Be brief."]}', "line 1: 'system' must be text"),
        ('{"text": "Words.", "image": "0.png"}', "line 1: 'text' must be .* with no other key"),
        ('{"text": " "}', "line 1: 'text' must be running text"),
        ('{"image": "broken.png", "prompt": "A?"}', "line 1: .*broken.png"),
        ('{"image": "0.png", "prompt": "A?"}', "holds 1 samples, but the recipe asks for 3"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, content: str, message: str) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    path = folder / "data.jsonl"
    path.write_text(content)
    with pytest.raises(CalibrationError, match=message):
        load_samples(Calibration(str(path), 3))


@pytest.mark.parametrize("data", ["nowhere", "generated:x", "generated:5"])
def test_no_such_data(data: str) -> None:
    with pytest.raises(CalibrationError, match=data):
        load_samples(Calibration(data))
