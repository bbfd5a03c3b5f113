"""`pocketvl ask` with tools, and with its boxes drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.cli.answers import as_dict, print_notes
from pocketvl.export.tiny import make_example
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer, Statistics
from pocketvl.runtime.text.answer_text import Quad
from pocketvl.runtime.text.tools.tool import InvalidToolCall, ToolCall
from tests.support.command_line import run

TOOLS = [{"type": "function", "function": {"name": "tap", "description": "Tap."}}]


@pytest.fixture(scope="module")
def bundle(tiny_onnx_bundle: Bundle) -> Path:
    return tiny_onnx_bundle.folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """In which the tiny model finds what is asked for."""
    path = tmp_path / "photo.png"
    make_example("point", 6).images[0].save(path)
    return path


QUESTION = make_example("point", 6).question


def written(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_the_box_of_an_answer_is_drawn(bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = photo.with_name("out.png")
    status, printed, said = run(capsys, "ask", bundle, QUESTION, "--image", photo, "--draw", out, "--json")
    (box,) = json.loads(printed)["boxes"]
    assert status == 0
    assert "drawn: " in said
    with Image.open(photo) as before, Image.open(out) as after:
        differs = np.any(np.array(before) != np.array(after), axis=2)
    ys, xs = np.nonzero(differs)
    found = (xs.min(), ys.min(), xs.max(), ys.max())
    assert found == pytest.approx((box["x1"], box["y1"], box["x2"], box["y2"]), abs=1.5)


def test_the_box_is_drawn_on_the_image_that_it_is_of(
    bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = photo.with_name("other.png"), photo.with_name("out.png")
    Image.new("RGB", (90, 70), "white").save(other)
    parts = [
        [{"type": "image", "image": name}, {"type": "text", "text": QUESTION}]
        for name in ("other.png", "photo.png")
    ]
    script = written(photo.parent, "script.json", parts)
    status, _, said = run(capsys, "ask", bundle, "--script", script, "--draw", out)
    assert status == 0
    assert "on image 1 (counted from 0)" in said
    with Image.open(out) as drawn, Image.open(photo) as image:
        assert drawn.size == image.size


def test_without_a_box_nothing_is_written(
    bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photo.with_name("out.png")
    status, _, said = run(
        capsys, "ask", bundle, "How many shapes are there?", "--image", photo, "--draw", out
    )
    assert (status, out.exists()) == (0, False)
    assert "there is no box in the answer" in said


@pytest.mark.parametrize("as_script", [False, True])
def test_the_images_of_the_question_are_not_replaced(
    bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str], as_script: bool
) -> None:
    before = photo.read_bytes()
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "photo.png"}}]}
    script = written(photo.parent, "script.json", [message])
    asked: list[Any] = ["--script", script] if as_script else [QUESTION, "--image", photo]
    status, _, said = run(capsys, "ask", bundle, *asked, "--draw", photo.parent / "." / "photo.png")
    assert status == 2
    assert "is the image that is asked about" in said
    assert photo.read_bytes() == before


def test_tools_are_in_the_prompt(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = []
    for value in (TOOLS, {"tools": TOOLS}, None):
        tools = ["--tools", written(tmp_path, "tools.json", value)] if value else []
        status, printed, _ = run(capsys, "ask", bundle, "Hi", *tools, "--max-tokens", 2, "--json")
        answer = json.loads(printed)
        assert (status, answer["tool_calls"]) == (0, [])
        lengths.append(len(answer["prompt_token_ids"]))
    assert lengths[0] == lengths[1] > lengths[2] + 100


def test_a_conversation_with_calls_and_results_is_answered(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "tap", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Tap it."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ]
    script = written(tmp_path, "script.json", {"messages": messages})
    tools = written(tmp_path, "tools.json", TOOLS)
    status, printed, _ = run(capsys, "ask", bundle, "--script", script, "--tools", tools, "--max-tokens", 2)
    assert status == 0
    assert printed


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "must hold a list of tools"),
        ([], "must hold a list of tools"),
        ([{"name": "tap it"}], "tools.json: A tool cannot have the name 'tap it'"),
        ([*TOOLS, *TOOLS], "tools.json: Two tools have the name 'tap'"),
    ],
)
def test_what_holds_no_tools_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any, message: str
) -> None:
    tools = written(tmp_path, "tools.json", value)
    status, _, said = run(capsys, "ask", bundle, "Hi", "--tools", tools)
    assert status == 2
    assert message in said


def test_parallel_calls_need_tools(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(capsys, "ask", bundle, "Hi", "--parallel-tool-calls")
    assert status == 2
    assert "goes with --tools" in said


def test_calls_and_quads_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(
        "",
        (1,),
        (1,),
        2,
        "tool_calls",
        Statistics(),
        tool_calls=(
            ToolCall("call_0", "tap", {"x": "é"}, '{"x": "\\u00e9"} // here'),
            InvalidToolCall("call_1", "tap", "{", "It is no JSON."),
        ),
        quads=(Quad("sign", 0, ((1, 2), (3, 2), (3, 4), (1.4, 4))),),
    )
    shown = json.loads(json.dumps(as_dict(answer)))
    assert shown["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "tap", "arguments": '{"x": "é"}'}},
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "tap", "arguments": "{"},
            "reason": "It is no JSON.",
        },
    ]
    assert shown["quads"] == [{"label": "sign", "image": 0, "corners": [[1, 2], [3, 2], [3, 4], [1.4, 4]]}]
    print_notes(answer)
    said = capsys.readouterr().err
    assert 'tool call call_0: tap {"x": "é"}' in said
    assert "tool call call_1 cannot be made: It is no JSON. It was: tap {" in said
    assert "quad: sign: (1,2), (3,2), (3,4), (1,4) pixels of image 0" in said
