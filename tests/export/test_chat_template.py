"""A chat template that would fail in the app is refused when it is exported."""

import json
from pathlib import Path

import pytest

from pocketvl.export.chat_template import check_chat_template
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import check_export
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import CHAT_TEMPLATE, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "model")
    return tmp_path / "model"


def check(folder: Path, template: str) -> tuple[str, ...]:
    (folder / "chat_template.jinja").write_text(template)
    return check_chat_template(open_checkpoint(str(folder)))


@pytest.mark.parametrize("model", ["tiny", "small"])
def test_a_sound_template(folder: Path, model: str) -> None:
    assert check_chat_template(open_checkpoint("tiny" if model == "tiny" else str(folder))) == ()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (CHAT_TEMPLATE + "{% endif %}", "is not valid"),
        (CHAT_TEMPLATE + "{% include 'x' %}", "the tag of Include is not supported"),
        (CHAT_TEMPLATE + "{{ 'a'.ljust(5000000000) }}", "calls ljust"),
        (CHAT_TEMPLATE + "{{ strftime_now('%Y') }}", "strftime_now"),
        (
            CHAT_TEMPLATE + "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "fails",
        ),
        (CHAT_TEMPLATE.replace("<|image_pad|>", ""), "wrote 0 image placeholders for 1"),
        (CHAT_TEMPLATE.replace("<|image_pad|>", "<|video_pad|>"), "in another order"),
        ("{# <|im_end|> #}", "make an empty prompt"),
        ("{{ raise_exception('not today') }}<|im_end|>", "refuses these messages: not today"),
    ],
)
def test_a_template_that_no_question_passes(folder: Path, template: str, said: str) -> None:
    with pytest.raises(CheckpointError, match="no question could be asked") as caught:
        check(folder, template)
    assert said in str(caught.value)
    assert str(caught.value).startswith("With the tokenizer and chat template of model ")


def test_a_template_without_system_turns(folder: Path) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    (said,) = check(folder, refusing + CHAT_TEMPLATE)
    assert said == (
        "The bundle will take no system turn: The chat template refuses these messages: no system turn."
    )


def test_a_template_that_rewrites_earlier_turns(folder: Path) -> None:
    (said,) = check(folder, "{{ messages | length }} messages\n" + CHAT_TEMPLATE)
    assert said.startswith("The bundle will take no second question in a conversation: ")


def test_control_tokens_that_are_no_special_ones(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    for token in tokenizer["added_tokens"]:
        token["special"] &= token["content"] != "<|im_start|>"
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match=r"lacks the special token <\|im_start\|>"):
        check(folder, CHAT_TEMPLATE)


def test_an_export_refuses_it_before_any_work(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE + "{{ 'a'.center(9) }}")
    settings = ExportSettings(buckets=(16, 64), max_context=64, prefill_chunk=16)
    with pytest.raises(CheckpointError, match="calls center"):
        check_export(
            str(folder), target=target_for(names.ONNX), recipe=named_recipe("fp32"), settings=settings
        )


def test_a_template_that_closes_no_turn_is_not_used(folder: Path) -> None:
    assert check(folder, "{% for m in messages %}{{ m['content'] }}{% endfor %}") == ()
    (said,) = open_checkpoint(str(folder)).notes
    assert "is not used, since no turn of it ends with a token <|im_end|>" in said
