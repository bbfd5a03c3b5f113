"""LoRA adapters in PEFT's form, merged while weights are read; what is expected is computed in float64."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketvl.export.checkpoint import MergedLora, merge_lora, open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.weights import Requantizer, fill
from pocketvl.quant.packed.weight_error import WeightError
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Precision, Recipe, named_recipe
from tests.support.adapters import MODULES, write_adapter
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
    assert torch.equal(decoder.layers[0].after.up.weight.qdata, torch.from_numpy(wanted.integers))
    kept = decoder.layers[0].after.gate.weight.qdata
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
    assert adapted.quantization_method == plain.quantization_method == "rotation + rtn"
