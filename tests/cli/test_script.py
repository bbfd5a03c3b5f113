"""Scripts of `pocketvl ask`: every accepted shape, and what is refused before anything is answered."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pocketvl.cli.script import MAX_SCRIPT_BYTES, read_script
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import PocketVLError
from tests.support.command_line import run

TEXT = {"type": "text", "text": "What is this?"}
USER = {"role": "user", "content": [TEXT]}


def written(folder: Path, value: Any) -> Path:
    path = folder / "script.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "turns"),
    [
        (["Hi", [TEXT]], ["Hi", [TEXT]]),
        ([{"role": "system", "content": "a"}, USER], [[{"role": "system", "content": "a"}, USER]]),
        ({"messages": [USER]}, [[USER]]),
        (["Hi", [{"role": "tool", "content": "done"}]], ["Hi", [{"role": "tool", "content": "done"}]]),
        ('\ufeff["Hi"]', ["Hi"]),
    ],
)
def test_turns_and_conversations(tmp_path: Path, value: Any, turns: Any) -> None:
    assert read_script(written(tmp_path, value)) == turns


def test_images_are_found_beside_the_script_in_every_kind_of_part(tmp_path: Path) -> None:
    beside = tmp_path / "cat.png"
    Image.new("RGB", (60, 60)).save(beside)
    kinds = [
        {"type": "image", "image": "cat.png"},
        {"type": "image", "url": "cat.png"},
        {"type": "image_url", "image_url": "cat.png"},
        {"type": "image_url", "image_url": {"url": "cat.png", "detail": "low"}},
        {"type": "input_image", "image_url": "cat.png"},
        {"type": "image", "image": "gone.png"},
    ]
    (turn,) = read_script(written(tmp_path, [kinds]))
    assert [part.get("image", part.get("url", part.get("image_url"))) for part in turn] == [  # type: ignore[union-attr]
        beside,
        beside,
        beside,
        {"url": beside, "detail": "low"},
        beside,
        "gone.png",
    ]
    (messages,) = read_script(written(tmp_path, [{"role": "user", "content": kinds[:1]}]))
    assert messages[0]["content"][0]["image"] == beside  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("[", "is not valid JSON"),
        ("[" + "9" * 9999 + "]", "is not valid JSON"),
        ('[[{"type": "text", "text": "a", "text": "b"}]]', "has the key 'text' twice"),
        ([], "at least one user turn"),
        ("3", "at least one user turn"),
        ([3], "Turn 0 of .* not int"),
        (["Hi", [USER]], "Turn 1 of .* is a list of messages"),
        ({"messages": [USER], "model": "x"}, "'messages' alone"),
        ({"messages": []}, "list of objects with a role"),
        ({"messages": "Hi"}, "list of objects with a role"),
    ],
)
def test_what_is_no_script(tmp_path: Path, value: Any, sentence: str) -> None:
    with pytest.raises(PocketVLError, match=sentence):
        read_script(written(tmp_path, value))


def test_files_that_are_no_script(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, sentence in (
        (pipe, "is a pipe, not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "gone.json", "does not exist"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(PocketVLError, match=sentence):
            read_script(path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(PocketVLError, match="not valid JSON"):
        read_script(binary)
    with binary.open("r+b") as file:
        file.truncate(MAX_SCRIPT_BYTES + 1)  # takes no room on the disk
    with pytest.raises(PocketVLError, match="more than the limit of"):
        read_script(binary)


def test_a_conversation_is_answered_once(
    small_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"role": "assistant", "content": "A cat."}
    path = written(tmp_path, [USER, answer, {"role": "user", "content": "Sure?"}])
    status, out, _ = run(capsys, "ask", small_bundle.folder, "--script", path, "--json", "--max-tokens", 2)
    (only,) = json.loads(out)
    assert status == 0
    assert only["boxes"] == []
    eos = small_bundle.manifest.special_tokens.im_end
    assert only["prompt_token_ids"].count(eos) == 4


def test_deep_brackets_end_with_a_sentence_and_status_2(
    small_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "[" * 200_000)
    status, _, err = run(capsys, "ask", small_bundle.folder, "--script", path)
    assert (status, "nested too deeply" in err) == (2, True)


def test_images_cannot_be_numbered_by_a_template_that_does_not(
    small_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "ask", small_bundle.folder, "Hi", "--add-vision-id")
    assert (status, "cannot number images" in err) == (1, True)
