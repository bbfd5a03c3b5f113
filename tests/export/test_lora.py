"""LoRA adapters in PEFT's form, merged while weights are read; what is expected is computed in float64."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pocketvl.export.checkpoint import MergedLora, merge_lora, open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.weights import Requantizer, fill
from pocketvl.quant.packed.weight_error import WeightError
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Precision, Recipe, named_recipe
from pocketvl.runtime.errors import CheckpointError
from tests.support.adapters import MODULES, transformers5, write_adapter
from tests.support.checkpoints import random_tensors, write_checkpoint
from tests.support.exporters import QUICK
from tests.support.geometries import GEOMETRIES
from tests.support.packed_checkpoints import Scheme, write_packed_checkpoint

Tensors = dict[str, torch.Tensor]

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "base", dtype=torch.float16)
    return tmp_path / "base"


def merged(base: Path, *adapters: Path) -> MergedLora:
    source = merge_lora(open_checkpoint(str(base)), adapters)
    assert isinstance(source, MergedLora)
    return source


def check_weights(source: MergedLora, updates: Tensors) -> None:
    """updates: module -> scale * B A in float64; every other tensor is the checkpoint's."""
    for name, value in random_tensors(source.geometry, dtype=torch.float16).items():
        update = updates.get(name.removesuffix(".weight"))
        found = source.tensor(name)
        if update is None:
            assert torch.equal(found, value), name
        else:
            assert found.dtype == torch.float32
            assert (found.double() - (value.double() + update)).abs().max() < 1e-6, name
            assert update.abs().max() > 0.01


@pytest.mark.parametrize("newer_names", [False, True])
@pytest.mark.parametrize("middle", ["", ".default"])
def test_both_styles_of_names(base: Path, tmp_path: Path, newer_names: bool, middle: str) -> None:
    products = write_adapter(tmp_path / "lora", newer_names=newer_names, middle=middle)
    updates = {module: 8 / 4 * product for module, product in products.items()}
    check_weights(merged(base, tmp_path / "lora"), updates)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_adapters_in_half_precision(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    products = write_adapter(tmp_path / "lora", dtype=dtype, lora_alpha=6)
    check_weights(merged(base, tmp_path / "lora"), {m: 6 / 4 * product for m, product in products.items()})


def test_rank_stabilised(base: Path, tmp_path: Path) -> None:
    products = write_adapter(tmp_path / "lora", use_rslora=True)
    check_weights(merged(base, tmp_path / "lora"), {m: 8 / 2 * product for m, product in products.items()})


def test_patterns_of_ranks_and_alphas(base: Path, tmp_path: Path) -> None:
    """Patterns end a module's path, as PEFT matches them; the first that does so counts."""
    ranks = {"model.layers.0.self_attn.q_proj": 16, "visual.blocks.2.attn.qkv": 2}
    products = write_adapter(
        tmp_path / "lora",
        ranks=ranks,
        rank_pattern={"q_proj": 16, r"visual\.blocks\.\d+\.attn\.qkv": 2, "proj": 99},
        alpha_pattern={"layers.1.self_attn.k_proj": 32, "k_proj": 1},
    )
    scales = dict.fromkeys(MODULES, 8 / 4) | {
        "model.layers.0.self_attn.q_proj": 8 / 16,
        "visual.blocks.2.attn.qkv": 8 / 2,
        "model.layers.1.self_attn.k_proj": 32 / 4,
    }
    check_weights(merged(base, tmp_path / "lora"), {m: scales[m] * products[m] for m in MODULES})


def test_two_adapters_add_up(base: Path, tmp_path: Path) -> None:
    first = write_adapter(tmp_path / "one")
    second = write_adapter(
        tmp_path / "two", {"model.layers.0.self_attn.q_proj": (96, 96), UP: (160, 96)}, seed=1, lora_alpha=2
    )
    updates = {module: 2 * product for module, product in first.items()}
    for module, product in second.items():
        updates[module] = updates.get(module, 0) + 0.5 * product
    source = merged(base, tmp_path / "one", tmp_path / "two")
    check_weights(source, updates)
    assert source.name == "base + one + two"


def test_it_pickles(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "lora")
    source = merged(base, tmp_path / "lora")
    again = pickle.loads(pickle.dumps(source))
    name = "visual.merger.mlp.0.weight"
    assert torch.equal(again.tensor(name), source.tensor(name))
    assert again.fingerprint() == source.fingerprint()


def test_the_fingerprint_includes_adapters_and_their_order(base: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        write_adapter(tmp_path / name, seed=seed)
    one, two = tmp_path / "one", tmp_path / "two"
    checkpoint = open_checkpoint(str(base))
    assert merge_lora(checkpoint, ()) is checkpoint
    found = {
        merge_lora(checkpoint, order).fingerprint() for order in ((), (one,), (two,), (one, two), (two, one))
    }
    assert len(found) == 5


def test_an_untied_head(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", GEOMETRIES["untied, 4/4 heads of 32"], dtype=torch.float16)
    products = write_adapter(tmp_path / "lora", {"lm_head": (416, 128)})
    check_weights(merged(tmp_path / "base", tmp_path / "lora"), {"lm_head": 2 * products["lm_head"]})


def filled_decoder(source: Any, recipe: Recipe) -> tuple[TextDecoder, list[WeightError]]:
    """And what quantizing layers again cost."""
    plan = resolve(recipe, source.geometry, source)
    requantizer = Requantizer(source, source.requantized, plan)
    decoder = TextDecoder(plan, 8)
    fill(decoder, requantizer, plan.method)
    return decoder, requantizer.weight_errors


def test_onto_packed_integers(tmp_path: Path) -> None:
    """An adapted layer is quantized from its merged floats by the recipe, the others keep their integers."""
    written = write_packed_checkpoint(tmp_path / "base", Scheme(zero=8))
    products = write_adapter(tmp_path / "lora", {UP: (160, 96)})
    source = merged(tmp_path / "base", tmp_path / "lora")
    layer = "text_decoder.layers.0.up_proj"
    assert source.requantized == {layer}
    assert len(source.fixed_bits) == len(written.layers) - 1
    decoder, weight_errors = filled_decoder(source, named_recipe("int8"))
    weight = (written.layers[UP].weight() + 2 * products[UP]).float()
    assert (source.tensor(f"{UP}.weight") - weight).abs().max() < 1e-6
    wanted = quantize_linear(source.tensor(f"{UP}.weight"), Precision(8), "rtn", layer)
    assert torch.equal(decoder.layers[0].up.weight.qdata, torch.from_numpy(wanted.integers))
    kept = decoder.layers[0].gate.weight.qdata
    assert np.array_equal(kept, written.layers["model.layers.0.mlp.gate_proj"].codes - 8)
    assert [one.layer for one in weight_errors] == [layer]
    assert 0 < weight_errors[0].relative_error < 0.02


def test_an_export(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "lora")
    folders = ([], [tmp_path / "lora"])
    plain, adapted = (
        export_bundle(
            str(base),
            tmp_path / f"bundle{index}",
            recipe=named_recipe("int8"),
            settings=ExportSettings(),
            lora=lora,
            command="pytest",
            target=QUICK,
        )
        for index, lora in enumerate(folders)
    )
    assert adapted.provenance.source == "base + lora"
    assert adapted.provenance.source_sha256 != plain.provenance.source_sha256
    assert adapted.quantization_method == plain.quantization_method == "rtn"


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
