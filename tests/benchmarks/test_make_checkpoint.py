"""The script that writes full-size random checkpoints, run with a small geometry."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import jinja2
import pytest
import torch

from pocketvl.export.checkpoint import open_checkpoint
from tests.support.checkpoints import SMALL_GEOMETRY

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "make_checkpoint.py"
SMALL = replace(
    SMALL_GEOMETRY,
    vision=replace(SMALL_GEOMETRY.vision, output_size=32),
    text=replace(
        SMALL_GEOMETRY.text,
        hidden_size=32,
        num_heads=2,
        num_kv_heads=1,
        vocab_size=151936,
    ),
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_checkpoint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "GEOMETRY", SMALL)
    return module


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Just enough of the family's tokenizer for a checkpoint to open."""
    ids = {
        "<|endoftext|>": 151643,
        "<|im_start|>": 151644,
        "<|im_end|>": 151645,
        "<|vision_start|>": 151652,
        "<|vision_end|>": 151653,
        "<|image_pad|>": 151655,
        "<|video_pad|>": 151656,
    }
    added = [{"content": content, "id": number} for content, number in ids.items()]
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps({"model": {}, "added_tokens": added}))
    return tmp_path / "tokenizer"


def make(script: ModuleType, folder: Path, tokenizer: Path, *options: str) -> None:
    sys.argv = ["make_checkpoint.py", str(folder), "--tokenizer", str(tokenizer), *options]
    script.main()


@pytest.mark.parametrize("shards", [1, 2])
def test_it_opens(
    script: ModuleType, tokenizer: Path, tmp_path: Path, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(script, "PIECE", 100_000)  # so that a tensor takes several
    make(script, tmp_path / "out", tokenizer, "--shards", str(shards))
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == shards
    checkpoint = open_checkpoint(str(tmp_path / "out"))
    assert checkpoint.geometry == SMALL
    assert checkpoint.chat
    embedding = checkpoint.tensor("model.embed_tokens.weight")
    assert embedding.dtype == torch.bfloat16
    assert embedding.float().std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(embedding.float().mean().item()) < 1e-4
    assert checkpoint.tensor("model.norm.weight").float().mean().item() == pytest.approx(1, abs=0.02)
    assert len(embedding.unique(dim=0)) > 151_000


def test_the_seed_decides(
    script: ModuleType, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(script, tmp_path / name, tokenizer, "--seed", seed)
    fingerprints = [open_checkpoint(str(tmp_path / name)).fingerprint() for name in "abc"]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_no_tokenizer(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    with pytest.raises(SystemExit, match="give --tokenizer"):
        make(script, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_the_template(script: ModuleType, tmp_path: Path) -> None:
    script.write_settings(tmp_path)
    template = jinja2.Environment().from_string((tmp_path / "chat_template.jinja").read_text("utf-8"))
    image = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    messages = [
        {"role": "user", "content": image},
        {"role": "assistant", "content": "A cat.\n"},
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "And here?"}]},
    ]
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n"
        "<|im_start|>assistant\nA cat.\n<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>And here?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert template.render(messages=[{"role": "system", "content": "Be brief."}]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
    )
