"""ONNX bundles of the recipe fp16 against transformers on weights that were rounded to float16."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pocketvl.evaluate.components import Components
from pocketvl.evaluate.metrics import relative_error
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Turn
from pocketvl.evaluate.verify import verify
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.onnx.engine import open_onnx
from pocketvl.runtime.engines.onnx.variants import check_variants
from tests.export.onnx import graphs, towers
from tests.support.bundles import SETTINGS, export_for_test
from tests.support.checkpoints import write_checkpoint, write_weights
from tests.support.geometries import GEOMETRIES
from tests.support.numbers import relative

MAX_PIXELS = SETTINGS.buckets[-1] * 14 * 14
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (112, 84, 3), dtype=np.uint8))


@dataclass(frozen=True)
class Case:
    bundle: Bundle
    engine: Engine
    reference: Reference  # of the rounded weights
    table: torch.Tensor  # rounded


@pytest.fixture(
    scope="module", params=[name for name in GEOMETRIES if "16" in name or "untied" in name], ids=str
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("fp16")
    checkpoint = folder / "checkpoint"
    write_checkpoint(checkpoint, GEOMETRIES[request.param], dtype=torch.float32)
    bundle = export_for_test(checkpoint, folder / "bundle", "fp16", target=names.ONNX)
    table = round_matrices(checkpoint)
    engine = open_onnx(bundle, threads=1)
    yield Case(bundle, engine, Reference(checkpoint, 3136, MAX_PIXELS), table)
    engine.close()


def round_matrices(checkpoint: Path) -> torch.Tensor:
    """Norms and biases stay as they are. Returns the table of embeddings."""
    tensors = load_file(checkpoint / "model.safetensors")
    rounded = {name: value.half().float() if value.dim() > 1 else value for name, value in tensors.items()}
    write_weights(checkpoint, rounded)
    return rounded["model.embed_tokens.weight"]


def test_components_equal_the_reference(case: Case) -> None:
    """Far below 5e-4, by which float16 itself is off."""
    components = Components(case.bundle, case.engine)
    embeddings = components.encode_image(PICTURE)
    assert relative_error(embeddings, case.reference.encode_image(PICTURE)) < 1e-4
    prompt = case.reference.prompt((Turn("What does the sign say?", (PICTURE,)),), ())
    forced = case.reference.generate(prompt, (PICTURE,), 20)[:-1]
    logits = components.logits(prompt, forced, (PICTURE,))
    wanted = case.reference.logits((*prompt, *forced), (PICTURE,), len(forced) + 1)
    assert relative_error(logits, wanted) < 1e-4


def test_verify_passes(case: Case) -> None:
    checks = verify(case.bundle, case.engine, case.reference, max_tokens=2, progress=lambda *_: None)
    assert all(check.passed for check in checks)


def test_every_weight_takes_two_bytes(case: Case) -> None:
    manifest = case.bundle.manifest
    assert {group.bits for group in manifest.layers} == {16}
    assert all(group.bytes == 2 * group.parameters for group in manifest.layers)
    assert (manifest.recipe, manifest.quantization_method) == ("fp16", "none")


def test_the_table_is_gathered_from_float16(case: Case) -> None:
    bundle, table = case.bundle, case.bundle.manifest.token_embedding
    assert table.storage == "float16"
    ids = [0, 7, table.rows - 1]
    wanted = case.table[ids].numpy()
    assert np.array_equal(EmbeddingMap(bundle.path(table.file), table).gather(ids), wanted)
    session = graphs.session(bundle.folder / names.ONNX_FOLDER / "embed_tokens_fp16.onnx")
    assert np.array_equal(session.run(None, {"input_ids": np.array([ids])})[0][0], wanted)


def test_transformers_js_finds_its_graphs(case: Case) -> None:
    folder = case.bundle.folder
    check_variants(folder)
    config = json.loads((folder / names.CONFIG_FILE).read_text(encoding="utf-8"))
    assert set(config["transformers.js_config"]["dtype"].values()) == {"fp16"}
    vision, grids = case.bundle.manifest.geometry.vision, [(1, 8, 6), (2, 4, 4)]
    patches = towers.pixels(vision, grids)
    alone = towers.slice_by_slice(folder, vision, patches, grids)
    assert relative(towers.in_one_call(folder, patches, grids), alone) < 1e-5
