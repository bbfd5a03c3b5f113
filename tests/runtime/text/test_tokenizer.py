"""Encoding against the library's own, streaming against decoding at once, damaged files."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from pocketvl.runtime.errors import BundleError, PromptError
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.support.tokenizers import PLAIN_TOKENS, SPECIAL_TOKENS, TOKENS, token_id, tokenizer_json
from tests.support.vocabulary import SPECIAL, TEXTS, write_tokenizer

TEMPLATES = st.lists(st.one_of(TEXTS, st.sampled_from(SPECIAL_TOKENS)), max_size=6).map("".join)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="module")
def library() -> Backend:
    return Backend.from_str(tokenizer_json())


@settings(max_examples=300)
@given(text=TEMPLATES)
def test_template_text_is_encoded_as_by_the_library(
    tokenizer: Tokenizer, library: Backend, text: str
) -> None:
    assert tokenizer.encode_template(text) == library.encode(text, add_special_tokens=False).ids


@settings(max_examples=300)
@given(text=TEMPLATES)
def test_ordinary_text_never_holds_special_ids(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_text(text)
    assert not tokenizer.special_ids.intersection(ids)
    assert len(tokenizer.special_ids) == len(SPECIAL_TOKENS)


@settings(max_examples=300)
@given(ids=st.lists(st.one_of(st.integers(0, TOKENS + 20), st.integers(0, PLAIN_TOKENS - 1)), max_size=40))
def test_any_ids_decode_as_by_the_library_and_stream_alike(
    tokenizer: Tokenizer, library: Backend, ids: list[int]
) -> None:
    for skip in (True, False):
        text = tokenizer.decode(ids, skip_special=skip)
        assert text == library.decode(ids, skip_special_tokens=skip)
        decoder = tokenizer.stream(skip_special=skip)
        pieces = [decoder.push(index) for index in ids] + [decoder.finish()]
        assert "".join(pieces) == text


@settings(max_examples=300)
@given(text=TEXTS)
def test_valid_text_streams_without_replacement_characters(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_text(text)
    decoder = tokenizer.stream()
    pieces = [decoder.push(index) for index in ids]
    assert decoder.finish() == ""
    assert "".join(pieces) == tokenizer.decode(ids)
    assert "".join(pieces).count("\ufffd") == text.count("\ufffd")


def test_a_character_waits_for_its_last_byte(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_text("🙂")
    assert len(ids) == 4
    decoder = tokenizer.stream()
    assert [decoder.push(index) for index in ids] == ["", "", "", "🙂"]
    assert [decoder.push(index) for index in ids[:2]] == ["", ""]
    assert decoder.finish() == "\ufffd"
    assert [decoder.push(index) for index in ids] == ["", "", "", "🙂"]


def test_boxes_are_kept_when_asked_for(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_template("<|box_start|>(1,2)<|box_end|>")
    assert tokenizer.decode(ids) == "(1,2)"
    assert tokenizer.decode(ids, skip_special=False) == "<|box_start|>(1,2)<|box_end|>"
    assert tokenizer.token_id("<|box_end|>") == token_id("<|box_end|>")
    assert tokenizer.token_id("box") is None


def test_ids_without_a_token_have_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([-1, TOKENS, 10**6]) == ""


def test_stand_ins_hide_special_tokens(tokenizer: Tokenizer) -> None:
    hidden = "<|im_start|>".replace("<", "\ufdd0")
    ids = tokenizer.encode_template(f"<|im_start|>{hidden}", {"\ufdd0": "<"})
    assert ids == [token_id("<|im_start|>"), *tokenizer.encode_text("<|im_start|>")]
    assert tokenizer.first_characters == {"<"}


def test_half_a_surrogate_pair_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match="surrogate"):
        tokenizer.encode_text("a\ud83d")


def test_added_tokens_that_are_not_special_keep_their_text(tmp_path: Path) -> None:
    """A template's <tool> is one token, a user's is text, and an answer shows it."""
    library = Backend.from_str(tokenizer_json())
    library.add_tokens([AddedToken("<tool>", special=False), AddedToken("<tool>x", special=False)])
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    text = "a<tool>x<tool><|im_end|>"
    assert tokenizer.encode_template(text) == library.encode(text).ids
    assert tokenizer.decode(tokenizer.encode_template(text)) == library.decode(library.encode(text).ids)
    assert max(tokenizer.encode_text(text)) < PLAIN_TOKENS


def test_files_that_are_no_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(BundleError, match=r"tokenizer\.json does not exist"):
        Tokenizer(path)
    path.write_text(tokenizer_json()[:5000])
    with pytest.raises(BundleError, match=r"tokenizer\.json is no readable tokenizer"):
        Tokenizer(path)
    value = json.loads(tokenizer_json())
    path.write_text(json.dumps(value | {"decoder": {"type": "Fuse"}}))
    with pytest.raises(BundleError, match="not a byte-level BPE"):
        Tokenizer(path)
    value["added_tokens"][0]["lstrip"] = True
    path.write_text(json.dumps(value))
    with pytest.raises(BundleError, match=r"endoftext.* strips the text"):
        Tokenizer(path)


def test_truncation_stored_in_the_file_is_ignored(tmp_path: Path) -> None:
    """Some checkpoints carry their trainer's settings."""
    library = Backend.from_str(tokenizer_json())
    library.enable_truncation(4)
    library.enable_padding(length=8)
    library.save(str(tmp_path / "tokenizer.json"))
    text = "What does the sign say to the quick brown fox?"
    expected = Backend.from_str(tokenizer_json()).encode(text).ids
    assert Tokenizer(tmp_path / "tokenizer.json").encode_text(text) == expected


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|vision_end|>"])
def test_a_tokenizer_without_the_models_tokens_is_refused(tmp_path: Path, token: str) -> None:
    """It would read and write them as text."""
    path = tmp_path / "tokenizer.json"
    value = json.loads(tokenizer_json())
    for change in ("missing", "plain"):
        added = [dict(item) for item in value["added_tokens"]]
        for item in added:
            item["special"] = item["content"] != token
        kept = added if change == "plain" else [item for item in added if item["special"]]
        path.write_text(json.dumps(value | {"added_tokens": kept}))
        named = re.escape(token) if change == "plain" else ""  # without one, later ones move up
        with pytest.raises(BundleError, match=f"lacks the special token {named}"):
            Tokenizer(path).check(SPECIAL, TOKENS)


def test_ids_of_the_manifest_must_be_the_tokenizers(tokenizer: Tokenizer) -> None:
    tokenizer.check(SPECIAL, TOKENS)
    tokenizer.check(replace(SPECIAL, im_end=None), TOKENS + 50)
    with pytest.raises(BundleError, match=r"image_pad\|>, or gives it another id than the"):
        tokenizer.check(replace(SPECIAL, image_pad=7), TOKENS)
    with pytest.raises(BundleError, match="no special token 7, which ends an answer"):
        tokenizer.check(replace(SPECIAL, eos=(*SPECIAL.eos, 7)), TOKENS)
    with pytest.raises(BundleError, match=f"tokens beyond the {TOKENS - 1} embeddings"):
        tokenizer.check(SPECIAL, TOKENS - 1)


def test_rows_without_a_token_are_known(tokenizer: Tokenizer) -> None:
    assert tokenizer.missing(TOKENS + 3).tolist() == [TOKENS, TOKENS + 1, TOKENS + 2]
    assert tokenizer.missing(TOKENS).size == 0
