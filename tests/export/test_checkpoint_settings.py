"""The small files beside the weights: templates, token ids, image limits, sampling."""

import json
from pathlib import Path

import pytest

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.runtime.bundle.geometry import ImageSettings, SamplingDefaults
from tests.support.checkpoints import (
    CHAT_TEMPLATE,
    write_checkpoint,
)
from tests.support.tokenizers import token_id


def test_settings(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    tokens = checkpoint.special_tokens
    assert (tokens.image_pad, tokens.video_pad) == (token_id("<|image_pad|>"), token_id("<|video_pad|>"))
    assert tokens.vision_start == token_id("<|vision_start|>")
    assert tokens.vision_end == token_id("<|vision_end|>")
    assert tokens.eos == (token_id("<|im_end|>"), token_id("<|endoftext|>"))
    assert tokens.im_end == token_id("<|im_end|>")
    assert checkpoint.chat
    assert checkpoint.chat_template == CHAT_TEMPLATE
    assert checkpoint.sampling == SamplingDefaults()
    assert (checkpoint.image.min_pixels, checkpoint.image.max_pixels) == (3136, 12845056)
    assert checkpoint.tokenizer_file == tmp_path / "tokenizer.json"


def test_a_base_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, chat=False)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.chat_template is None
    assert not checkpoint.chat
    assert checkpoint.special_tokens.im_end is None
    # The published base model has a template that only joins the contents.
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.chat_template is not None
    assert not checkpoint.chat


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("chat_template.json", "{{ x }}<|im_end|>"),
        ("tokenizer_config.json", "{{ x }}<|im_end|>"),
        (
            "tokenizer_config.json",
            [{"name": "tools", "template": "no"}, {"name": "default", "template": "{{ x }}<|im_end|>"}],
        ),
    ],
)
def test_places_of_the_template(tmp_path: Path, file: str, value: object) -> None:
    write_checkpoint(tmp_path, chat=False)
    (tmp_path / file).write_text(json.dumps({"chat_template": value}))
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.chat_template == "{{ x }}<|im_end|>"
    assert checkpoint.chat


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({"min_pixels": 1000, "max_pixels": 2000}, (1000, 2000)),
        ({"size": {"shortest_edge": 1000, "longest_edge": 2000}}, (1000, 2000)),
        ({"size": {"min_pixels": 1000, "max_pixels": 2000}}, (1000, 2000)),
        ({"max_pixels": 9000, "size": {"shortest_edge": 1000, "longest_edge": 2000}}, (1000, 9000)),
        ({}, (3136, 12845056)),
        (None, (3136, 12845056)),
    ],
)
def test_image_limits(tmp_path: Path, settings: object, limits: tuple[int, int]) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(settings)) if settings is not None else path.unlink()
    image = open_checkpoint(str(tmp_path)).image
    assert (image.min_pixels, image.max_pixels) == limits
    assert image.mean == (0.48145466, 0.4578275, 0.40821073)


def test_a_newer_processor_config(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    inner = {"size": {"shortest_edge": 1000, "longest_edge": 2000}, "image_mean": [0.5, 0.25, 0.125]}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    image = open_checkpoint(str(tmp_path)).image
    std = (0.26862954, 0.26130258, 0.27577711)
    assert image == ImageSettings(1000, 2000, (0.5, 0.25, 0.125), std)


@pytest.mark.parametrize(
    ("settings", "sampling"),
    [
        ({"do_sample": False, "temperature": 0.7, "top_k": 5}, SamplingDefaults()),
        (
            {"do_sample": True, "temperature": 0.01, "top_k": 1, "top_p": 0.001, "repetition_penalty": 1.05},
            SamplingDefaults(0.01, 1, 0.001, 1.05),
        ),
        ({"do_sample": True}, SamplingDefaults(1.0, 50, 1.0, 1.0)),
        (None, SamplingDefaults()),
    ],
)
def test_sampling(tmp_path: Path, settings: object, sampling: SamplingDefaults) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(settings)) if settings is not None else path.unlink()
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.sampling == sampling
    assert checkpoint.special_tokens.eos == (token_id("<|im_end|>"),)  # then it stands in config.json
