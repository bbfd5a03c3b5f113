"""--stop, --logprobs, --json-schema, --regex and --lookup as a user gives them."""

import json
from pathlib import Path

import pytest

from pocketvl.runtime.bundle.open import Bundle
from tests.support.command_line import run

ASK = ("--max-tokens", 40, "--temperature", 0, "--threads", 1)


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Path:
    return small_onnx_bundle.folder


def test_an_answer_of_a_schema_is_all_that_is_printed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["red", "blue"]}', encoding="utf-8")
    status, out, err = run(capsys, "ask", bundle, "Which colour?", "--json-schema", schema, *ASK)
    assert (status, json.loads(out) in {"red", "blue"}) == (0, True)
    assert ", stop" in err


def test_logprobs_and_the_stop_string_are_in_the_json(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--regex", "one two|one three", "--stop", "ne t", "--logprobs", 2, "--json", "--lookup")
    status, out, _ = run(capsys, "ask", bundle, "Count", *arguments, *ASK)
    answer = json.loads(out)
    assert (status, answer["answer"], answer["stop_reason"], answer["stop_string"]) == (
        0,
        "o",
        "stop",
        "ne t",
    )
    assert [one["token_id"] for one in answer["logprobs"]] == answer["token_ids"]
    assert all(len(one["top"]) == 2 and one["logprob"] <= 0 for one in answer["logprobs"])
    assert bytes(byte for one in answer["logprobs"] for byte in one["bytes"]).startswith(b"one t")
    assert answer["statistics"]["drafted_tokens"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--regex", "("), "regular expression cannot be used"),
        (("--json-schema", "{schema}", "--regex", "a"), "not both"),
        (("--json-schema", "nowhere.json"), "nowhere.json does not exist"),
        (("--json-schema", "{list}"), "must hold an object"),
        (("--json-schema", "{broken}"), "is not valid JSON"),
        (("--json-schema", "{odd}"), "Invalid type: colour"),
        (("--logprobs", 3), "add that"),
        (("--logprobs", 21, "--json"), "logprobs"),
        (("--stop", ""), "must not be empty"),
        (tuple(word for text in "abcde" for word in ("--stop", text)), "at most 4"),
    ],
)
@pytest.mark.parametrize("command", ["ask", "chat"])
def test_what_cannot_be_meant_is_refused(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    if command == "chat" and "--logprobs" in arguments:
        pytest.skip("chat prints no JSON")
    files = {"schema": "{}", "list": "[1]", "broken": '{"a": 1', "odd": '{"type": "colour"}'}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = [str(word).format(**{name: tmp_path / name for name in files}) for word in arguments]
    question = ("Which colour?",) if command == "ask" else ()
    status, _, err = run(capsys, command, bundle, *question, *words)
    assert status == 2
    assert sentence in err
