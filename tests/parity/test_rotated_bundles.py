"""Bundles of rotated models in each target: what rounding does to them is all that they are off by."""

from dataclasses import dataclass
from itertools import product

import pytest
from PIL import Image

from pocketvl.evaluate import metrics
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Turn
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import Precision, Recipe, Rule
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engines.open import open_engine
from tests.support.bundles import COREML_SETTINGS, SETTINGS
from tests.support.checkpoints import write_checkpoint
from tests.support.geometries import ONE_LAYER
from tests.support.images import random_image
from tests.support.quick_exports import spare_repetitions

RULES = (Rule("text_decoder.*", Precision(8)), Rule("lm_head*", Precision(8)), Rule("*", Precision(32)))
TARGETS = (names.EXECUTORCH, names.ONNX, names.COREML)
PICTURE: Image.Image = random_image(112, 84)


@dataclass(frozen=True)
class Case:
    bundle: Bundle
    tied: bool
    reference: Reference


@pytest.fixture(scope="module", params=product(TARGETS, (True, False)), ids=str)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    target, tied = request.param
    folder = tmp_path_factory.mktemp("rotated")
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    write_checkpoint(checkpoint, ONE_LAYER, tied=tied)
    spare_repetitions(target)
    export_bundle(
        str(checkpoint),
        bundle,
        target=target_for(target),
        recipe=Recipe("mine", "rtn", RULES, rotation=True),
        settings=COREML_SETTINGS if target == names.COREML else SETTINGS,
        command="pytest",
    )
    return Case(open_bundle(bundle, verify="always"), tied, Reference(checkpoint, 3136, 144 * 14 * 14))


def test_logits_and_images_are_those_of_transformers(case: Case) -> None:
    engine = open_engine(case.bundle, threads=1)
    try:
        components = Components(case.bundle, engine)
        embeddings, wanted = components.encode_image(PICTURE), case.reference.encode_image(PICTURE)
        assert metrics.relative_error(embeddings, wanted) < 5e-3  # float16 in Core ML
        prompt = case.reference.prompt((Turn("What does the sign say?", (PICTURE,)),), ())
        forced = case.reference.generate(prompt, (PICTURE,), 12)[:-1]
        logits = components.logits(prompt, forced, (PICTURE,))
    finally:
        engine.close()
    expected = case.reference.logits((*prompt, *forced), (PICTURE,), len(forced) + 1)
    assert metrics.relative_error(logits, expected) < 0.06
    assert metrics.kl_divergence(logits, expected).mean() < 6e-3


def test_the_manifest_counts_the_layer_before_the_head(case: Case) -> None:
    manifest = case.bundle.manifest
    assert manifest.quantization_method == "rotation + rtn"
    (head,) = (group for group in manifest.layers if group.component == names.LM_HEAD)
    assert head.layers == (2 if case.tied else 1)
    width, vocabulary = ONE_LAYER.text.hidden_size, ONE_LAYER.text.vocab_size
    assert head.parameters == width * vocabulary + (width * width if case.tied else 0)
    assert "hidden states were rotated" in (case.bundle.folder / names.MODEL_CARD).read_text()
