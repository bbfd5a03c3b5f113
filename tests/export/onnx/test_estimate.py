"""Sizes known before an export, against what it writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import DISK_EXTRA
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer
from pocketvl.export.onnx.operators import pack
from pocketvl.export.onnx.target import bytes_of, estimate
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import NAMED_RECIPES, Precision, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from tests.support.bundles import export_for_test
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.geometries import GEOMETRIES

PAGE = 4096  # on which a tensor of a data file begins


@pytest.mark.parametrize(
    ("columns", "precision"),
    [
        (96, Precision(4, 32)),
        (96, Precision(4, 96)),
        (1536, Precision(4, 96)),
        (1536, Precision(8)),
        (96, Precision(8)),
        (1176, Precision(8)),
    ],
)
def test_stored_bytes_are_those_of_packed_integers(columns: int, precision: Precision) -> None:
    group = precision.group_size or columns
    scales = np.ones((3, columns // group), np.float32)
    packed = pack(QuantizedLinear(np.zeros((3, columns), np.int8), scales, precision.bits, group))
    assert (
        bytes_of(Layer("x", "y", 3, columns, bias=False), precision)
        == packed.data.nbytes + packed.scales.nbytes
    )


def test_stored_bytes_of_floats() -> None:
    layer = Layer("x", "y", 64, 96, bias=False)
    assert [bytes_of(layer, Precision(bits)) for bits in (32, 16)] == [64 * 96 * 4, 64 * 96 * 2]


def test_smaller_recipes_are_smaller() -> None:
    sizes = [
        estimate(resolve(named_recipe(name), SMALL_GEOMETRY), ExportSettings()) for name in NAMED_RECIPES
    ]
    assert [size.disk for size in sizes] == sorted((size.disk for size in sizes), reverse=True)


def check(bundle: Bundle) -> None:
    """Layers to the byte; beside them norms, biases, what lies between pages, graphs and text files."""
    manifest = bundle.manifest
    settings = ExportSettings(manifest.buckets, "dynamic", manifest.max_context, manifest.prefill_chunk)
    known = estimate(resolve(named_recipe(manifest.recipe), manifest.geometry), settings)
    for component in (names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD):
        written = sum(group.bytes for group in manifest.layers if group.component == component)
        assert known.artifacts[component] == written
    (copy,) = (bundle.folder / names.ONNX_FOLDER).glob("embed_tokens*.onnx_data")
    own = sum(group.bytes for group in manifest.layers if group.component == names.TOKEN_EMBEDDING)
    tables = copy.stat().st_size + own
    assert abs(known.artifacts[names.TOKEN_EMBEDDING] - tables) < 2 * PAGE
    total = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    layers = sum(known.artifacts.values())
    assert layers < total < layers + 400_000
    assert known.disk == layers + DISK_EXTRA


def test_a_bundle_is_as_large_as_was_estimated(any_bundle: Bundle) -> None:
    check(any_bundle)


def test_so_is_one_with_a_table_of_its_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", GEOMETRIES["untied, 4/4 heads of 32"])
    check(export_for_test(tmp_path / "checkpoint", tmp_path / "bundle", "int4-small", target=names.ONNX))


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_of_its_own_is_written_twice(tied: bool) -> None:
    geometry = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, tie_word_embeddings=tied))
    recipe = replace(named_recipe("int8"), rotation=False)
    known = estimate(resolve(recipe, geometry), ExportSettings())
    head = known.artifacts[names.LM_HEAD]
    assert known.artifacts[names.TOKEN_EMBEDDING] == (head if tied else 2 * head)
