"""What an export to Core ML will take, against what it took."""

from dataclasses import replace
from pathlib import Path

import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.target import COREML, bytes_of, estimate
from pocketvl.export.estimate import DISK_EXTRA, Estimate
from pocketvl.export.layer_plan import LayerPlan, resolve
from pocketvl.export.layers import Layer
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import Precision, Recipe, Rule, named_recipe
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import RecipeError, SpaceError
from tests.export.coreml import bundles
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.geometries import GEOMETRIES
from tests.support.random_source import FULL_TEXT, FULL_VISION

FULL = ModelGeometry(FULL_VISION, FULL_TEXT)


@pytest.mark.parametrize(
    ("precision", "size"),
    [
        (Precision(32), 64 * 96 * 2),
        (Precision(16), 64 * 96 * 2),
        (Precision(8), 64 * 96 + 64 * 2),
        (Precision(4, 32), 64 * 48 + 64 * 3 * 2),
    ],
)
def test_bytes_of(precision: Precision, size: int) -> None:
    assert bytes_of(Layer("x", "y", 64, 96, bias=False), precision) == size


@pytest.mark.parametrize(
    ("name", "recipe"), [("tied, 6/2 heads of 16", "int4"), ("untied, 4/4 heads of 32", "int4-small")]
)
def test_the_weights_of_a_bundle_are_what_was_estimated(tmp_path: Path, name: str, recipe: str) -> None:
    geometry = write_checkpoint(tmp_path / "checkpoint", GEOMETRIES[name])
    bundle = bundles.export(tmp_path / "checkpoint", tmp_path / "bundle", recipe, bundles.CHUNKED)
    known = estimate(resolve(named_recipe(recipe), geometry), bundles.CHUNKED)
    written = {group.component: 0 for group in bundle.manifest.layers}
    for group in bundle.manifest.layers:
        written[group.component] += group.bytes
    assert known.artifacts == written
    total = sum(record.size for record in bundle.manifest.files)
    assert sum(written.values()) < total < known.disk == sum(written.values()) + DISK_EXTRA


def test_memory_is_that_of_the_largest_package() -> None:
    recipe, whole = named_recipe("fp32"), ExportSettings((256,))
    memory = estimate(resolve(recipe, FULL), whole).memory
    chunked = [estimate(resolve(recipe, FULL), replace(whole, decoder_chunks=n)).memory for n in (2, 4, 28)]
    # From two chunks on the vision tower is the largest.
    assert memory > chunked[0] == chunked[1] == chunked[2]
    integers = estimate(resolve(named_recipe("int4"), FULL), whole)
    assert integers.memory < memory
    assert estimate(resolve(recipe, FULL), whole).disk > 2 * 2_208_000_000  # fp16 for 2.2 G weights


@pytest.mark.parametrize(
    ("layers", "recipe", "measured"), [(1, "int4", 1.16e9), (3, "int4", 1.48e9), (2, "fp32", 1.42e9)]
)
def test_memory_of_measured_exports(layers: int, recipe: str, measured: float) -> None:
    """Peaks of one process over the packages of the text side at full width, with a head of 4096 tokens."""
    text = replace(FULL_TEXT, num_layers=layers, vocab_size=4096)
    vision = replace(SMALL_GEOMETRY.vision, output_size=FULL_TEXT.hidden_size)
    memory = estimate(resolve(named_recipe(recipe), ModelGeometry(vision, text)), ExportSettings()).memory
    assert measured < memory < 1.25 * measured


@pytest.mark.parametrize(("depth", "measured"), [(1, 1.69e9), (3, 1.97e9)])
def test_memory_of_measured_towers(depth: int, measured: float) -> None:
    """The same of the tower for 256 and 1024 patches, in 8 bits."""
    geometry = ModelGeometry(
        replace(FULL_VISION, depth=depth), replace(FULL_TEXT, num_layers=1, vocab_size=64)
    )
    memory = estimate(resolve(named_recipe("int8"), geometry), ExportSettings((256, 1024))).memory
    assert 0.9 * measured < memory < 1.25 * measured


def test_memory_of_the_measured_2b() -> None:
    """The peak is the tower's, whose largest bucket has 4096 patches; the decoder's process took 8.07 GB."""
    memory = estimate(resolve(named_recipe("int4"), FULL), ExportSettings()).memory
    assert 9.51e9 < memory < 1.25 * 9.51e9
    few = estimate(resolve(named_recipe("int4"), FULL), ExportSettings((256,))).memory
    assert 0.9 * 8.07e9 < few < 1.25 * 8.07e9


def test_a_layer_without_a_rule_is_refused() -> None:
    with pytest.raises(RecipeError, match="no rule for the layer"):
        resolve(Recipe("x", "rtn", (Rule("vision_encoder.*", Precision(8)),)), SMALL_GEOMETRY)


def test_the_export_asks_for_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint")

    def huge(plan: LayerPlan, settings: ExportSettings) -> Estimate:
        return replace(estimate(plan, settings), disk=1 << 60)

    with pytest.raises(SpaceError, match="The bundle will take about"):
        export_bundle(
            str(tmp_path / "checkpoint"),
            tmp_path / "bundle",
            recipe=named_recipe("fp32"),
            settings=ExportSettings((16,), max_context=32, prefill_chunk=1),
            command="pytest",
            target=replace(COREML, estimate=huge),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
