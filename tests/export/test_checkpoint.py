"""Every layout that a Qwen2-VL checkpoint comes in is read to the same tensors."""

import gc
import json
import pickle
from dataclasses import replace
from math import prod
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from pocketvl.export import tiny
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.checkpoint.config import read_config
from pocketvl.export.layers import expected_tensors, stored_names
from pocketvl.runtime.errors import CheckpointError
from tests.support.checkpoints import (
    SMALL_GEOMETRY,
    Layout,
    config_json,
    random_tensors,
    write_checkpoint,
    write_weights,
)


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; a value of ... deletes its key."""
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not ...}))


@pytest.mark.parametrize("layout", ["hub", "transformers5"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_layouts(tmp_path: Path, layout: Layout, nested: bool, tied: bool, shards: int) -> None:
    geometry = write_checkpoint(tmp_path, layout=layout, nested=nested, tied=tied, shards=shards)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.geometry == geometry
    written = random_tensors(geometry)
    assert ("lm_head.weight" in written) is not tied
    for name, value in written.items():
        assert torch.equal(checkpoint.tensor(name), value), name
    head = checkpoint.tensor("lm_head.weight")
    assert torch.equal(head, written["model.embed_tokens.weight" if tied else "lm_head.weight"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_dtypes(tmp_path: Path, dtype: torch.dtype) -> None:
    write_checkpoint(tmp_path, dtype=dtype)
    tensor = open_checkpoint(str(tmp_path)).tensor("visual.patch_embed.proj.weight")
    assert tensor.dtype == dtype
    assert torch.equal(tensor, random_tensors(SMALL_GEOMETRY, dtype=dtype)["visual.patch_embed.proj.weight"])


def test_the_caller_owns_what_it_reads(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    first = checkpoint.tensor("model.norm.weight")
    first.zero_()
    assert checkpoint.tensor("model.norm.weight").float().abs().min() > 0


def test_a_name_of_another_geometry(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with pytest.raises(KeyError, match=r"model\.layers\.2\."):
        open_checkpoint(str(tmp_path)).tensor("model.layers.2.mlp.up_proj.weight")


def test_it_travels_to_another_process(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    copy = pickle.loads(pickle.dumps(checkpoint))
    assert isinstance(copy, Checkpoint)
    assert copy.geometry == checkpoint.geometry
    assert torch.equal(copy.tensor("model.norm.weight"), checkpoint.tensor("model.norm.weight"))


@pytest.mark.parametrize("layout", ["hub", "transformers5"])
@pytest.mark.parametrize("tied", [False, True])
def test_transformers_agrees(tmp_path: Path, layout: Layout, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    geometry = write_checkpoint(tmp_path, layout=layout, tied=tied, dtype=torch.float32)
    model, report = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values()), report
    state = model.state_dict()
    checkpoint = open_checkpoint(str(tmp_path))
    for name in expected_tensors(geometry):
        assert torch.equal(state[stored_names(name)[1]], checkpoint.tensor(name)), name
    config = model.config.text_config
    assert config.rope_parameters["rope_theta"] == checkpoint.geometry.text.rope_theta
    assert config.rms_norm_eps == checkpoint.geometry.text.rms_norm_eps
    # What transformers writes again is read again, whichever layout it chose.
    model.save_pretrained(tmp_path / "again")
    (tmp_path / "again" / "tokenizer.json").write_bytes((tmp_path / "tokenizer.json").read_bytes())
    again = open_checkpoint(str(tmp_path / "again"))
    assert again.geometry == geometry
    assert torch.equal(again.tensor("lm_head.weight"), checkpoint.tensor("lm_head.weight"))


def test_defaults_that_transformers_leaves_out(tmp_path: Path) -> None:
    """transformers 4 wrote the vision config of a fine-tuned 2B without the keys that equal its defaults."""
    vision = replace(SMALL_GEOMETRY.vision, depth=32, hidden_size=1280, intermediate_size=5120, num_heads=16)
    geometry = replace(SMALL_GEOMETRY, vision=vision)
    write_checkpoint(tmp_path)
    config = config_json(geometry, nested=False)
    config["vision_config"] = {
        "hidden_size": vision.output_size, "in_chans": 3, "model_type": "qwen2_vl", "spatial_patch_size": 14,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(tmp_path))
    assert "visual.patch_embed.proj.weight has the shape [64, 3, 2, 14, 14]" in str(caught.value)
    assert "asks for [1280, 3, 2, 14, 14]" in str(caught.value)


def test_theta_beside_the_rope_parameters(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, rope_theta=5e5)))
    assert open_checkpoint(str(tmp_path)).geometry.text.rope_theta == 5e5
    rope = {"rope_type": "default", "rope_theta": 7e5, "mrope_section": [2, 3, 3]}
    edit(tmp_path / "config.json", rope_scaling=..., rope_parameters=rope)
    assert open_checkpoint(str(tmp_path)).geometry.text.rope_theta == 7e5


def test_the_name_tells_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "private" / "my-model")
    assert open_checkpoint(str(tmp_path / "private" / "my-model")).name == "my-model"
    assert open_checkpoint(str(tmp_path / "private" / "my-model") + "/").name == "my-model"
    monkeypatch.chdir(tmp_path / "private" / "my-model")
    assert open_checkpoint(".").name == "my-model"
    cached = tmp_path / "models--Qwen--Qwen2-VL-2B-Instruct" / "snapshots" / "895c3a49"
    write_checkpoint(cached)
    assert open_checkpoint(str(cached)).name == "Qwen/Qwen2-VL-2B-Instruct"


def test_fingerprint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", shards=2)
    write_checkpoint(tmp_path / "b", shards=2)
    first = open_checkpoint(str(tmp_path / "a")).fingerprint()
    assert len(first) == 64
    assert open_checkpoint(str(tmp_path / "b")).fingerprint() == first
    (tmp_path / "b" / "README.md").write_text("not part of the model")
    assert open_checkpoint(str(tmp_path / "b")).fingerprint() == first
    shard = tmp_path / "b" / "model-00002-of-00002.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert open_checkpoint(str(tmp_path / "b")).fingerprint() != first
    edit(tmp_path / "a" / "generation_config.json", top_k=7)
    assert open_checkpoint(str(tmp_path / "a")).fingerprint() != first


def test_extra_tensors_and_files_do_not_disturb(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    extra = {
        "model.rotary_emb.inv_freq": torch.ones(8),
        "model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "visual.rotary_pos_emb.inv_freq": torch.ones(8),
        "model.layers.1.self_attn.o_proj.bias": torch.zeros(96),
        "lm_head.bias": torch.zeros(384),
    }
    write_weights(tmp_path, random_tensors(SMALL_GEOMETRY) | extra)
    save_file({"x": torch.ones(2)}, tmp_path / "optimizer.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"old")
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.geometry == SMALL_GEOMETRY
    assert checkpoint.notes == ()


def test_reading_everything_takes_the_memory_of_one_tensor(tmp_path: Path) -> None:
    """A memory map would grow to the size of the file here."""
    text = replace(SMALL_GEOMETRY.text, num_layers=12, intermediate_size=8192)
    geometry = write_checkpoint(tmp_path, replace(SMALL_GEOMETRY, text=text), dtype=torch.float32)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 100e6
    checkpoint = open_checkpoint(str(tmp_path))
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    most = 0
    for name in expected_tensors(geometry):
        checkpoint.tensor(name)
        most = max(most, process.memory_info().rss)
    assert most - before < size / 4


def test_the_published_configs(tmp_path: Path) -> None:
    """2B and 7B as the hub has them; the 7B's embeddings are not tied."""
    rope = {"type": "mrope", "mrope_section": [16, 24, 24]}
    shared = {
        "model_type": "qwen2_vl",
        "hidden_act": "silu",
        "num_hidden_layers": 28,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "rope_scaling": rope,
        "sliding_window": 32768,
        "use_sliding_window": False,
    }
    vision = {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "in_chans": 3,
        "patch_size": 14,
    }
    for hidden, ffn, heads, keys, vocabulary, tied in (
        (1536, 8960, 12, 2, 151936, True),
        (3584, 18944, 28, 4, 152064, False),
    ):
        config = shared | {
            "hidden_size": hidden,
            "intermediate_size": ffn,
            "num_attention_heads": heads,
            "num_key_value_heads": keys,
            "vocab_size": vocabulary,
            "tie_word_embeddings": tied,
            "vision_config": vision | {"hidden_size": hidden},
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        read = read_config(tmp_path, has_lm_head=not tied)
        text = read.geometry.text
        assert (text.hidden_size, text.head_dim, text.vocab_size) == (hidden, 128, vocabulary)
        assert text.tie_word_embeddings is tied
        assert read.geometry.vision.output_size == hidden
        assert read.geometry.vision.intermediate_size == 5120
        assert (read.image_pad, read.video_pad) == (151655, 151656)
        shapes = expected_tensors(read.geometry).values()
        parameters = sum(prod(shape) for shape in shapes)
        assert parameters == (2_208_985_600 if tied else 8_291_375_616)


def test_tiny_is_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where a folder of that name is at hand; that one is ./tiny."""
    write_checkpoint(tmp_path / "shipped")
    write_checkpoint(tmp_path / "tiny", tied=False)
    monkeypatch.setattr(tiny, "checkpoint_folder", lambda: tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    checkpoint = open_checkpoint("tiny")
    assert checkpoint.name == "tiny"
    assert checkpoint.geometry.text.tie_word_embeddings
    assert not open_checkpoint("./tiny").geometry.text.tie_word_embeddings
