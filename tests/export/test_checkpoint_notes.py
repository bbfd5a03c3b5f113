"""What a checkpoint leaves open, or asks for in vain, is said in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import named_recipe
from tests.support.checkpoints import (
    CHAT_TEMPLATE,
    SMALL_GEOMETRY,
    random_tensors,
    write_checkpoint,
    write_weights,
)
from tests.support.exporters import QUICK


def notes(folder: Path) -> tuple[str, ...]:
    return open_checkpoint(str(folder)).notes


def change(path: Path, **values: Any) -> None:
    given = json.loads(path.read_text())
    path.write_text(json.dumps(given | values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "model")
    return tmp_path / "model"


def test_a_complete_checkpoint_needs_no_word(folder: Path) -> None:
    assert notes(folder) == open_checkpoint("tiny").notes == ()


def test_no_template_where_the_tokenizer_has_turns(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (said,) = notes(folder)
    assert "exported as a base model" in said
    assert "chat_template.jinja" in said
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    added = [token for token in tokenizer["added_tokens"] if token["content"] != "<|im_start|>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": added}))
    assert notes(folder) == ()


def test_two_templates(folder: Path) -> None:
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    assert notes(folder) == ()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "x"}))
    assert notes(folder) == ("chat_template.json has another chat template than the one that is used.",)


def test_no_settings_of_images(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    (said,) = notes(folder)
    assert "There is no preprocessor_config.json" in said
    assert "between 3136 and 12845056 pixels" in said


def test_settings_of_images_that_nobody_knows(folder: Path) -> None:
    change(folder / "preprocessor_config.json", do_sharpen=True, do_rotate=None, processor_class="X")
    assert notes(folder) == (
        "preprocessor_config.json has settings that pocketvl does not know: do_sharpen.",
    )


def test_a_turn_that_ends_no_answer(folder: Path) -> None:
    tokens = open_checkpoint(str(folder)).special_tokens
    change(folder / "generation_config.json", eos_token_id=tokens.eos[1])
    (said,) = notes(folder)
    assert "closes a turn with <|im_end|>" in said
    assert f"Add {tokens.im_end} to generation_config.json" in said


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size = 3."),
        ({"num_beams": 4, "bad_words_ids": [[5]]}, "bad_words_ids = [[5]], num_beams = 4."),
        ({"forced_eos_token_id": 7}, "forced_eos_token_id = 7."),
        ({"min_p": 0.1}, "min_p = 0.1."),
        ({"max_new_tokens": 512}, "max_new_tokens = 512."),
        ({"suppress_tokens": list(range(99))}, "suppress_tokens = [0, 1, 2, 3"),
        ({"a_setting_of_tomorrow": "x"}, "a_setting_of_tomorrow = 'x'."),
    ],
)
def test_settings_of_answers_that_are_not_followed(folder: Path, given: dict[str, Any], shown: str) -> None:
    change(folder / "generation_config.json", **given)
    (said,) = notes(folder)
    assert shown in said


def test_settings_of_answers_that_change_nothing(folder: Path) -> None:
    neutral = {
        "num_beams": 1, "no_repeat_ngram_size": 0, "bad_words_ids": None, "max_length": 20, "typical_p": 1.0,
        "use_cache": True, "transformers_version": "4.45.0", "early_stopping": False, "top_k": -1,
    }  # fmt: skip
    change(folder / "generation_config.json", **neutral, do_sample=True)
    assert notes(folder) == ()
    assert open_checkpoint(str(folder)).sampling.top_k == 0


def test_an_export_says_it_and_the_manifest_holds_what_was_found(folder: Path, tmp_path: Path) -> None:
    tensors = random_tensors(SMALL_GEOMETRY)
    write_weights(folder, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] * 2})
    (folder / "preprocessor_config.json").unlink()
    said: list[str] = []
    manifest = export_bundle(
        str(folder),
        tmp_path / "out",
        recipe=named_recipe("fp32"),
        settings=ExportSettings(),
        command="pytest",
        warn=said.append,
        target=QUICK,
    )
    assert not manifest.geometry.text.tie_word_embeddings
    assert "model has an lm_head of its own" in said[0]
    assert "preprocessor_config.json" in said[1]
