"""Which tokens a grammar lets through, and which grammars are refused."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime.decoding.choosing import Chooser
from pocketvl.runtime.decoding.constraint import Constraint, Grammars
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import EngineError, MissingExtraError, UsageError
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.support.tokenizers import TOKENS, token_id, tokenizer_json

ROWS = 384  # more than there are tokens
EOS = (token_id("<|im_end|>"), token_id("<|endoftext|>"))
PADDING = np.arange(TOKENS, ROWS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    path.write_text(tokenizer_json(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def grammars(file: Path) -> Grammars:
    return Grammars(file, ROWS, EOS)


def write(
    constraint: Constraint, file: Path, seed: int, most: int = 400, flat: bool = True
) -> tuple[str, bool]:
    """An answer drawn at random among what is allowed, and whether it came to its end."""
    random = np.random.default_rng(seed)
    chooser = Chooser(Sampler(temperature=1.0, seed=seed), PADDING, constraint)
    tokens: list[int] = []
    for _ in range(most):
        choice = chooser.choose(random.normal(0, 3, ROWS).astype(np.float32), tokens)
        assert choice.token < TOKENS
        if choice.token in EOS:
            return Tokenizer(file).decode(tokens), True
        tokens.append(choice.token)
        if choice.is_last:
            return Tokenizer(file).decode(tokens), True
    return Tokenizer(file).decode(tokens), False


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_any_answer_is_json_of_the_schema(grammars: Grammars, file: Path, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "dark blue"]},
            "count": {"type": "integer", "minimum": 0, "maximum": 99},
            "corners": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        },
        "required": ["colour", "count", "corners"],
        "additionalProperties": False,
    }
    text, is_whole = write(grammars.make(schema, None), file, seed)
    assert is_whole  # nothing in it has no end
    value = json.loads(text)
    assert text == json.dumps(value)  # as Python writes it
    assert value["colour"] in {"red", "dark blue"}
    assert 0 <= value["count"] <= 99
    assert 1 <= len(value["corners"]) <= 3


@settings(max_examples=25)
@given(
    st.integers(0, 10**6), st.sampled_from(["(red|blue) [a-z]{2,5}", "[0-9]{1,3}(,[0-9]{3})?", "日本|é{2}"])
)
def test_any_answer_matches_the_regular_expression(
    grammars: Grammars, file: Path, seed: int, pattern: str
) -> None:
    text, is_whole = write(grammars.make(None, pattern), file, seed)
    assert is_whole
    assert re.fullmatch(pattern, text)


def test_an_answer_ends_only_where_it_is_whole(grammars: Grammars, file: Path) -> None:
    constraint = grammars.make(None, "[0-9]{2,}")
    seven = Tokenizer(file).encode_text("7")[0]
    ends = []
    for _ in range(3):
        ends.append(bool(constraint.allowed()[list(EOS)].any()))
        constraint.accept(seven)
        assert not constraint.is_finished  # another digit may follow
    assert ends == [False, False, True]


def test_what_is_whole_says_so_without_another_token(grammars: Grammars, file: Path) -> None:
    constraint = grammars.make({"const": "red"}, None)
    *before, last = Tokenizer(file).encode_text('"red"')
    for token in before:
        constraint.accept(token)
    assert not constraint.is_finished
    constraint.accept(last)
    assert constraint.is_finished


def test_no_constraint_is_none(grammars: Grammars) -> None:
    assert grammars.make(None, None) is None


@pytest.mark.parametrize(
    ("schema", "regex", "sentence"),
    [
        ({"type": "colour"}, None, "JSON schema cannot be used .Invalid type: colour"),
        ({"not": {}}, None, "Unimplemented keys: ..not"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, None, "Unsatisfiable schema"),
        ({"$ref": "http://127.0.0.1/schema"}, None, "does not fetch resources"),
        ({"enum": [object()]}, None, "not JSON serializable"),
        (False, None, "JSON schema cannot be used"),
        (None, "(" * 9999, "regular expression cannot be used"),
        (None, "\ud800", "surrogates not allowed"),
        (None, "", "lets nothing be said"),
        (None, "a(", "regular expression cannot be used .*unclosed group"),
        (None, "(?=a)b", "look-ahead"),
        (None, r"(a)\1", "backreferences"),
        ({}, "a", "not both"),
    ],
)
def test_grammars_that_do_not_hold_are_refused(
    grammars: Grammars, schema: Any, regex: str | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        grammars.make(schema, regex)
    assert "<state>" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_token_that_is_not_allowed_is_an_error(grammars: Grammars, file: Path) -> None:
    constraint = grammars.make(None, "[0-9]+")
    with pytest.raises(EngineError, match="cannot follow its grammar"):
        constraint.accept(Tokenizer(file).encode_text("a")[0])


def test_the_missing_extra_is_named_and_only_where_it_is_needed(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    assert grammars.make(None, None) is None
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[grammar\]'"):
        grammars.make({}, None)
