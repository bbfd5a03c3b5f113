"""Written packages, evaluated in numpy, against transformers."""

from pathlib import Path

import numpy as np
import pytest

from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.coreml.package import Package
from tests.export.coreml import bundles
from tests.support.checkpoints import write_checkpoint
from tests.support.geometries import GEOMETRIES
from tests.support.numbers import relative

CALLS = (32, 5, 1, 1, 20, 32, 5)  # 96 tokens, the whole context of CHUNKED: padded, exact and single ones
GRIDS = ((2, 2), (4, 4), (2, 10), (10, 2), (8, 8))  # one token, full buckets of 16 and 64, wide, tall


@pytest.fixture(scope="module", params=["fp32", "int4", "untied"])
def exported(
    request: pytest.FixtureRequest, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Path]:
    """A bundle, and a checkpoint of the very weights that it should hold."""
    if request.param == "fp32":
        return request.getfixturevalue("small_coreml_bundle"), small_checkpoint
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = folder / "checkpoint"
    untied = request.param == "untied"
    geometry = GEOMETRIES["untied, 4/4 heads of 32" if untied else "tied, 6/2 heads of 16"]
    write_checkpoint(checkpoint, geometry)
    recipe = "int4-small" if untied else request.param
    bundle = bundles.export(checkpoint, folder / "bundle", recipe, bundles.CHUNKED)
    bundles.dequantize(checkpoint, geometry, named_recipe(recipe))
    return bundle, checkpoint


@pytest.mark.parametrize(("round_fp16", "tolerance"), [(False, 3e-3), (True, 1e-2)])
def test_vision(exported: tuple[Bundle, Path], round_fp16: bool, tolerance: float) -> None:
    bundle, checkpoint = exported
    engine = open_coreml(bundle, native=False, round_fp16=round_fp16)
    for rows, columns in GRIDS:
        patches, cos, sin = bundles.image(bundle, rows, columns)
        wanted = bundles.reference_embeddings(checkpoint, patches, rows, columns)
        assert relative(engine.vision.encode(patches, cos, sin), wanted) < tolerance


@pytest.mark.parametrize(("round_fp16", "tolerance"), [(False, 5e-3), (True, 2e-2)])
def test_text(exported: tuple[Bundle, Path], round_fp16: bool, tolerance: float) -> None:
    bundle, checkpoint = exported
    engine = open_coreml(bundle, native=False, round_fp16=round_fp16)
    ids = bundles.token_ids(sum(CALLS))
    wanted = bundles.reference_logits(checkpoint, ids)
    assert relative(bundles.logits(bundle, engine, ids, CALLS), wanted) < tolerance


def test_the_table_is_what_the_function_gathers(exported: tuple[Bundle, Path]) -> None:
    bundle, _ = exported
    table = bundle.manifest.token_embedding
    (entry,) = bundle.manifest.entries("token_embedding")
    tokens = entry.inputs[0].shape[1]
    ids = np.linspace(0, table.rows - 1, int(tokens)).astype(np.int32)
    function = Package.open(bundle.path(entry.file)).function(entry.method)
    (gathered,) = function.run({"ids": ids[None]}).values()
    rows = EmbeddingMap(bundle.path(table.file), table).gather(ids)
    np.testing.assert_array_equal(gathered[0], rows.astype(np.float16))
