"""Whether the head is the embedding: what config.json leaves open or says wrongly."""

import json
from pathlib import Path

import pytest
import torch

from pocketvl.export.checkpoint import open_checkpoint, weights
from tests.support.checkpoints import (
    SMALL_GEOMETRY,
    random_tensors,
    write_checkpoint,
    write_weights,
)


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; a value of ... deletes its key."""
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not ...}))


def test_a_config_that_does_not_say_whether_the_head_is_tied(tmp_path: Path) -> None:
    for tied in (False, True):
        folder = tmp_path / str(tied)
        write_checkpoint(folder, tied=tied)
        edit(folder / "config.json", tie_word_embeddings=...)
        assert open_checkpoint(str(folder)).geometry.text.tie_word_embeddings is tied


def test_tied_said_inside_text_config(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, layout="transformers5", tied=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = config.pop("tie_word_embeddings")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(str(tmp_path)).geometry.text.tie_word_embeddings


def test_a_tied_model_saved_with_a_copy_of_its_table(tmp_path: Path) -> None:
    """Some tools write lm_head.weight all the same."""
    for dtype in (torch.bfloat16, torch.float32):
        folder = tmp_path / str(dtype)
        write_checkpoint(folder)
        tensors = random_tensors(SMALL_GEOMETRY)
        write_weights(
            folder, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].to(dtype, copy=True)}
        )
        checkpoint = open_checkpoint(str(folder))
        assert checkpoint.geometry == SMALL_GEOMETRY
        assert checkpoint.notes == ()
        assert torch.equal(checkpoint.tensor("lm_head.weight"), tensors["model.embed_tokens.weight"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("changed", [0, 200 * 96 + 5, 384 * 96 - 1])
def test_a_head_that_was_trained_is_kept_though_the_config_ties_it(
    tmp_path: Path, dtype: torch.dtype, changed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_COMPARED", 1000)  # many reads, the last a short one
    write_checkpoint(tmp_path)
    tensors = random_tensors(SMALL_GEOMETRY)
    head = tensors["model.embed_tokens.weight"].to(dtype, copy=True)
    head.view(-1)[changed] += 1
    write_weights(tmp_path, tensors | {"lm_head.weight": head})
    checkpoint = open_checkpoint(str(tmp_path))
    assert not checkpoint.geometry.text.tie_word_embeddings
    assert torch.equal(checkpoint.tensor("lm_head.weight"), head)
    assert torch.equal(checkpoint.tensor("model.embed_tokens.weight"), tensors["model.embed_tokens.weight"])
    assert "lm_head of its own" in checkpoint.notes[0]
    assert len(checkpoint.notes) == 1


def test_transformers_agrees_on_a_head_that_was_trained(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_checkpoint(tmp_path, dtype=torch.float32)
    tensors = random_tensors(SMALL_GEOMETRY, dtype=torch.float32)
    write_weights(tmp_path, tensors | {"lm_head.weight": torch.ones(384, 96)})
    state = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    checkpoint = open_checkpoint(str(tmp_path))
    for name, stored in (
        ("lm_head.weight", "lm_head.weight"),
        ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight"),
    ):
        assert torch.equal(state[stored], checkpoint.tensor(name))
