"""What an export makes of a GPTQ checkpoint: its own integers, and a word about those that changed."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from pocketvl.export import pipeline
from pocketvl.export.executorch.census import read_pte
from pocketvl.export.executorch.constants import scale_bytes, stored_weights
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.target import ExportInputs
from pocketvl.export.targets import target_for
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Precision, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from tests.support import exporters
from tests.support.bundles import SETTINGS
from tests.support.exporters import QUICK
from tests.support.packed_checkpoints import (
    Scheme,
    write_packed_checkpoint,
)
from tests.support.quick_exports import spare_repetitions

SYMMETRIC = Scheme(zero=8)


def export(folder: Path, output: Path, **options: Any) -> tuple[Manifest, list[str]]:
    said: list[str] = []
    options = {"recipe": named_recipe("int4"), "settings": SETTINGS, "target": QUICK} | options
    manifest = export_bundle(str(folder), output, command="pytest", warn=said.append, **options)
    return manifest, said


def test_the_bundle_holds_the_integers_of_the_checkpoint(tmp_path: Path) -> None:
    """int8 asks for other bits, which the checkpoint's integers need not become."""
    spare_repetitions(names.EXECUTORCH)
    written = write_packed_checkpoint(tmp_path / "packed", SYMMETRIC)
    manifest, said = export(
        tmp_path / "packed",
        tmp_path / "bundle",
        recipe=named_recipe("int8"),
        target=replace(target_for(names.EXECUTORCH), export_vision=exporters.vision),
    )
    path = tmp_path / "bundle" / names.TEXT_DECODER_PTE
    places, data = read_pte(path).data, path.read_bytes()
    for layer in written.layers.values():
        stored = stored_weights((layer.codes - 8).to(torch.int8).numpy(), 4)
        place = places[sha256(stored.tobytes()).hexdigest()]
        assert data[place.offset : place.offset + place.size] == stored.tobytes()
        scales = scale_bytes(layer.scales.bfloat16().float().numpy(), 4).tobytes()
        place = places["scale_" + sha256(scales).hexdigest()]
        assert data[place.offset : place.offset + place.size] == scales
    assert manifest.quantization_method == "gptq checkpoint + rtn"
    groups = {(group.component, group.bits): group for group in manifest.layers}
    assert groups[names.TEXT_DECODER, 4].group_size == 32
    assert groups[names.TEXT_DECODER, 4].layers == len(written.layers)
    assert said == ["Layers that keep the integers of the gptq checkpoint: 14 (4 bits in groups of 32)."]


def filled_text(inputs: ExportInputs, progress: Any) -> Any:
    """Fills the decoder's graph, and writes nothing of it."""
    fill(TextDecoder(inputs.plan, 8), inputs.source, inputs.plan.method)
    return exporters.text(inputs, progress)


@pytest.mark.parametrize("isolated", [False, True])
def test_layers_that_are_quantized_again_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: bool
) -> None:
    if isolated:
        monkeypatch.setattr(pipeline, "_ISOLATED_ABOVE", 0)
    write_packed_checkpoint(tmp_path / "packed", Scheme(bits=8, zero=128, group_size=32))
    quick = replace(QUICK, export_text=filled_text)
    manifest, said = export(tmp_path / "packed", tmp_path / "bundle", target=quick)
    assert manifest.quantization_method == "rtn"
    assert len(said) == 1
    assert said[0].startswith("Layers of the checkpoint that had to be quantized again: 14.")
    mean = float(said[0].split(" by ")[1].split(" %")[0])
    assert 0.3 < mean < 1.5  # 8 bits, a scale a row: an 8-bit checkpoint stays at 8 bits under int4, too


def test_a_float_recipe_stays_float(tmp_path: Path) -> None:
    write_packed_checkpoint(tmp_path / "packed", SYMMETRIC)
    manifest, said = export(tmp_path / "packed", tmp_path / "bundle", recipe=named_recipe("fp32"))
    assert manifest.quantization_method == "none"
    assert said == []


def test_what_is_known_to_stand_shrinks_the_estimate(tmp_path: Path) -> None:
    """The recipe has the checkpoint's bits before anything is estimated or begun."""
    seen: list[Precision] = []

    def vision(inputs: ExportInputs, progress: Any) -> Any:
        seen.append(inputs.plan.precisions["text_decoder.layers.0.q_proj"])
        return exporters.vision(inputs, progress)

    write_packed_checkpoint(tmp_path / "packed", Scheme(zero=8, group_size=128))
    export(
        tmp_path / "packed",
        tmp_path / "bundle",
        recipe=named_recipe("int8"),
        target=replace(QUICK, export_vision=vision),
    )
    assert seen == [Precision(4, 32)]
