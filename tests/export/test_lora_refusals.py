"""Adapters that cannot be merged as they are meant are refused, or told, by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pocketvl.export.checkpoint import MergedLora, merge_lora, open_checkpoint
from pocketvl.runtime.errors import CheckpointError
from tests.support.adapters import transformers5, write_adapter
from tests.support.checkpoints import write_checkpoint

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "base", dtype=torch.float16)
    return tmp_path / "base"


def merged(base: Path, *adapters: Path) -> MergedLora:
    source = merge_lora(open_checkpoint(str(base)), adapters)
    assert isinstance(source, MergedLora)
    return source


def refusal(base: Path, adapter: Path) -> str:
    checkpoint = open_checkpoint(str(base))
    with pytest.raises(CheckpointError) as caught:
        merge_lora(checkpoint, [adapter])
    message = str(caught.value)
    assert message.endswith((".", "?")), message
    return message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "has peft_type 'IA3'"),
        ({"use_dora": True}, "asks for DoRA"),
        ({"bias": "lora_only"}, "asks for trained biases"),
        ({"modules_to_save": ["embed_tokens"]}, "asks for modules trained whole"),
        ({"init_lora_weights": "pissa_niter_16"}, "changed its base model (pissa_niter_16)"),
        ({"r": 8}, "has lora_A [4, 96] and lora_B [96, 4], but adapter_config.json gives it the rank 8"),
        ({"rank_pattern": {"fc2": 2}}, "visual.blocks.0.mlp.fc2 has lora_A [4, 128]"),
        ({"rank_pattern": {"(": 2}}, "'(' is no pattern"),
        ({"rank_pattern": {"fc2": "x"}}, "'fc2' must be a number"),
        ({"r": 0}, "the rank 0"),
        ({"r": None}, "lacks the key 'r'"),
        ({"lora_alpha": None}, "lacks the key 'lora_alpha'"),
        ({"lora_alpha": "8"}, "'lora_alpha' must be a number"),
        ({"lora_alpha": float("nan")}, "'lora_alpha' must be a number, not NaN"),
        ({"lora_alpha": 10**400}, "'lora_alpha' must be a number"),
        ({"alpha_pattern": {"fc2": float("inf")}}, "'fc2' must be a number, not Infinity"),
        ({"r": 10**9}, "the rank 1e+09"),
        ({"r": 10**30}, "'r' must be a whole number"),
        ({"r": 4.5}, "'r' must be a whole number"),
        ({"rank_pattern": {"fc2": 1e300}}, "the rank 1e+300"),
        ({"alora_invocation_tokens": [1]}, "(aLoRA)"),
        ({"layer_replication": [[0, 2]]}, "layers that are used several times"),
        ({"trainable_token_indices": [3]}, "trained embeddings of tokens"),
    ],
)
def test_other_adapters(base: Path, tmp_path: Path, config: dict[str, Any], said: str) -> None:
    write_adapter(tmp_path / "lora", **config)
    assert said in refusal(base, tmp_path / "lora")


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (
            "model.layers.7.mlp.up_proj",
            (160, 96),
            "it adapts model.layers.7.mlp.up_proj, which this model lacks",
        ),
        (UP, (8960, 96), "has lora_A [4, 96] and lora_B [8960, 4], but the weight here is [160, 96]"),
        (UP, (160, 1536), "has lora_A [4, 1536] and lora_B [160, 4], but the weight here is [160, 96]"),
    ],
)
def test_another_base_model(
    base: Path, tmp_path: Path, module: str, shape: tuple[int, int], said: str
) -> None:
    write_adapter(tmp_path / "lora", {module: shape})
    message = refusal(base, tmp_path / "lora")
    assert "made for another base model (someone/base)" in message
    assert said in message


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("lm_head", "the table of embeddings as well (tied)"),
        ("visual.patch_embed.proj", "visual.patch_embed.proj, which is no linear layer"),
        ("model.embed_tokens", "model.embed_tokens, which is no linear layer"),
        ("model.norm", "model.norm, which is no linear layer"),
    ],
)
def test_modules_that_cannot_be_adapted(base: Path, tmp_path: Path, module: str, said: str) -> None:
    write_adapter(tmp_path / "lora", {module: (64, 64)})
    assert said in refusal(base, tmp_path / "lora")


def change(adapter: Path, **tensors: torch.Tensor | None) -> None:
    """Replace or, with None, remove tensors by the ends of their names, dots written as __."""
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    for end, value in tensors.items():
        key = f"base_model.model.{end.replace('__', '.')}"
        if value is None:
            del stored[key]
        else:
            stored[key] = value
    save_file(stored, path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"visual__merger__mlp__0__lora_A__weight": None}, "lacks lora_A of visual.merger.mlp.0"),
        ({"visual__merger__mlp__0__lora_B__weight": None}, "lacks lora_B of visual.merger.mlp.0"),
        ({"model__norm__weight": torch.ones(96)}, "model.norm.weight is no lora_A or lora_B"),
        ({"visual__merger__mlp__0__lora_B__bias": torch.ones(256)}, "lora_B.bias is no lora_A or lora_B"),
        ({"model__embed_tokens__lora_embedding_A": torch.ones(4, 384)}, "lora_embedding_A is no lora_A"),
        (
            {"visual__merger__mlp__0__lora_A__x__weight": torch.ones(4, 256)},
            "lora_A of visual.merger.mlp.0 twice",
        ),
        ({"visual__merger__mlp__0__lora_A__weight": torch.ones(4, 256).to(torch.int8)}, "has the type I8"),
        ({"visual__merger__mlp__0__lora_A__weight": torch.ones(4)}, "has lora_A [4]"),
    ],
)
def test_other_tensors(base: Path, tmp_path: Path, tensors: dict[str, Any], said: str) -> None:
    write_adapter(tmp_path / "lora")
    change(tmp_path / "lora", **tensors)
    assert said in refusal(base, tmp_path / "lora")


def test_one_module_under_two_names(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "lora", {UP: (160, 96), transformers5(UP): (160, 96)})
    assert f"adapts {UP}.weight twice, under two names" in refusal(base, tmp_path / "lora")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite(base: Path, tmp_path: Path, value: float) -> None:
    write_adapter(tmp_path / "lora")
    change(tmp_path / "lora", visual__merger__mlp__0__lora_B__weight=torch.full((256, 4), value))
    with pytest.raises(CheckpointError, match=r"visual\.merger\.mlp\.0\.weight lora_B holds NaN"):
        merged(base, tmp_path / "lora").tensor("visual.merger.mlp.0.weight")


def test_a_scale_beyond_float32(base: Path, tmp_path: Path) -> None:
    """Without a word the weights would be infinite, and their integers nonsense."""
    write_adapter(tmp_path / "lora", lora_alpha=1e300)
    assert "scales model.layers.0.self_attn.q_proj by 2.5e+299, beyond float32" in refusal(
        base, tmp_path / "lora"
    )
    write_adapter(tmp_path / "lora", lora_alpha=1.3e39)
    change(tmp_path / "lora", visual__merger__mlp__0__lora_B__weight=torch.full((256, 4), 1e3))
    with pytest.raises(CheckpointError, match=r"scale of 3\.25e\+38 the update of visual\.merger\.mlp\.0"):
        merged(base, tmp_path / "lora").tensor("visual.merger.mlp.0.weight")


@pytest.mark.parametrize(
    ("named", "noted"),
    [
        ("someone/base", False),
        ("Base/", False),
        ("base", False),
        (None, False),
        ("Qwen/Qwen2-VL-7B-Instruct", True),
        ("base/Qwen2-VL", True),
    ],
)
def test_the_base_model_that_an_adapter_names(
    base: Path, tmp_path: Path, named: str | None, noted: bool
) -> None:
    write_adapter(tmp_path / "lora", base_model_name_or_path=named)
    notes = merged(base, tmp_path / "lora").notes
    assert len(notes) == noted
    assert all(f"lora names {named} as its base model and is merged into base" in note for note in notes)


def test_folders_that_hold_no_adapter(base: Path, tmp_path: Path) -> None:
    assert "holds no adapter_config.json" in refusal(base, tmp_path / "nothing")
    assert "holds no adapter_config.json" in refusal(base, base)
    write_adapter(tmp_path / "lora")
    weights = tmp_path / "lora" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-7])
    assert "cut short" in refusal(base, tmp_path / "lora")
    save_file({}, weights)
    assert "holds no tensors" in refusal(base, tmp_path / "lora")
    weights.unlink()
    assert "holds no adapter_model.safetensors" in refusal(base, tmp_path / "lora")
    (tmp_path / "lora" / "adapter_model.bin").write_bytes(whole)
    assert "as a pickle (adapter_model.bin)" in refusal(base, tmp_path / "lora")
    (tmp_path / "lora" / "adapter_config.json").write_text("[]")
    assert "must hold a JSON object" in refusal(base, tmp_path / "lora")
