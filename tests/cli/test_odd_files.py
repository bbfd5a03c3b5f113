"""Pipes, devices and huge files are refused in a sentence wherever a command names a file."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.export.calibration.samples import load_samples
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.quant.recipe import Calibration
from pocketvl.quant.recipe_file import load_recipe
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import CalibrationError, CheckpointError, RecipeError
from tests.support.command_line import run
from tests.support.odd_files import ODD, odd_file

COMMANDS = {
    "image": (["ask", "{bundle}", "Hi", "--image", "{odd}"], ".png", 1),
    "image by URL": (["ask", "{bundle}", "Hi", "--image", "file://{odd}"], ".png", 1),
    "script": (["ask", "{bundle}", "--script", "{odd}"], ".json", 2),
    "lines": (["evaluate", "{bundle}", "--data", "{odd}", "-o", "{folder}/new"], ".jsonl", 2),
    "table": (["evaluate", "{bundle}", "--data", "{odd}", "-o", "{folder}/new"], ".tsv", 2),
    "image in lines": (["evaluate", "{bundle}", "--data", "{lines}", "-o", "{folder}/new"], ".png", 2),
    "image in a table": (["evaluate", "{bundle}", "--data", "{table}", "-o", "{folder}/new"], ".png", 2),
    "recipe": (["export", "tiny", "--recipe", "{odd}", "-o", "{folder}/new"], ".toml", 2),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ODD)
def test_commands_refuse_them(
    kind: str, command: str, small_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, suffix, expected = COMMANDS[command]
    odd = odd_file(tmp_path, kind, f"odd{suffix}")
    lines, table = tmp_path / "lines.jsonl", tmp_path / "table.tsv"
    lines.write_text(json.dumps({"image": odd.name, "question": "a", "answer": "b"}))
    table.write_text(f"index\timage_path\tquestion\tanswer\n1\t{odd.name}\ta\tb\n")
    names = {"bundle": small_bundle.folder, "odd": odd, "folder": tmp_path, "lines": lines, "table": table}
    status, _, err = run(capsys, *(word.format(**names) for word in words))
    assert status == expected
    assert str(odd) in err
    assert any(words in err for words in ("is a pipe", "is a device", "the limit of"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_checkpoints_refuse_them(small_checkpoint: Path, tmp_path: Path, kind: str, file: str) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(small_checkpoint, folder)
    (folder / file).unlink(missing_ok=True)
    odd_file(folder, kind, file)
    with pytest.raises(CheckpointError, match=file):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["a.png", "a.txt"])
@pytest.mark.parametrize("kind", ODD)
def test_calibration_folders_refuse_them(tmp_path: Path, kind: str, name: str) -> None:
    if name == "a.txt":
        Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    odd_file(tmp_path, kind, name)
    with pytest.raises(CalibrationError, match=ODD[kind]):
        load_samples(Calibration(str(tmp_path), 1))


@pytest.mark.parametrize("kind", ODD)
def test_calibration_lines_and_recipes_refuse_them(tmp_path: Path, kind: str) -> None:
    with pytest.raises(CalibrationError, match=ODD[kind]):
        load_samples(Calibration(str(odd_file(tmp_path, kind, "a.jsonl")), 1))
    with pytest.raises(RecipeError, match=ODD[kind]):
        load_recipe(str(odd_file(tmp_path, kind, "a.toml")))
