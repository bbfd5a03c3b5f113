"""fp16 packages of random checkpoints against transformers in float32: images, greedy answers, chunks."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.evaluate.components import Components
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Turn
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.coreml.package import Package
from tests.export.coreml import bundles
from tests.support.bundles import COREML_SETTINGS
from tests.support.checkpoints import write_checkpoint
from tests.support.geometries import GEOMETRIES
from tests.support.images import random_image

# One layer per chunk in the one with a chunk between the first and the last.
CHUNKS = {"untied, 4/4 heads of 32": 3, "tied, 4/1 heads of 64": 1}
# One geometry, of which nothing is alone, takes a quarter of a minute more.
CASES = [pytest.param(name, marks=pytest.mark.slow if CHUNKS.get(name) == 1 else ()) for name in GEOMETRIES]
MAX_PIXELS = 144 * 14 * 14
SIZES = {16: (56, 56), 80: (112, 140), 144: (168, 168)}
NARROW = [(28, 560), (560, 28)]
TIE = 1e-3  # of the largest logit; test_parity.py allows fp16 five times as much


@dataclass(frozen=True)
class Case:
    bundle: Bundle
    reference: Reference


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    if request.param not in CHUNKS:
        bundle = request.getfixturevalue("small_coreml_bundle")
        assert bundle.manifest.geometry == GEOMETRIES[request.param]
        return Case(bundle, Reference(small_checkpoint, 3136, MAX_PIXELS))
    folder = tmp_path_factory.mktemp("conversation")
    write_checkpoint(folder / "checkpoint", GEOMETRIES[request.param])
    settings = replace(COREML_SETTINGS, decoder_chunks=CHUNKS[request.param])
    bundle = bundles.export(folder / "checkpoint", folder / "bundle", "fp32", settings)
    return Case(bundle, Reference(folder / "checkpoint", 3136, MAX_PIXELS))


def cosines(value: bundles.Float32, wanted: bundles.Float32) -> bundles.Float32:
    """Of each token."""
    assert value.shape == wanted.shape
    lengths = np.linalg.norm(value, axis=1) * np.linalg.norm(wanted, axis=1)
    result: bundles.Float32 = (value * wanted).sum(1) / lengths
    return result


@pytest.mark.parametrize("size", [*SIZES.values(), *NARROW])
def test_every_token_of_an_image_points_where_transformers_says(case: Case, size: tuple[int, int]) -> None:
    engine = open_coreml(case.bundle, native=False)
    value = Components(case.bundle, engine).encode_image(random_image(*size))
    assert cosines(value, case.reference.encode_image(random_image(*size))).min() >= 0.9999


@pytest.mark.parametrize(("rows", "columns"), [(8, 10), (2, 40), (40, 2)])
def test_padding_changes_nothing(case: Case, rows: int, columns: int) -> None:
    (file,) = {entry.file for entry in case.bundle.manifest.entries("vision_encoder")}
    package = Package.open(case.bundle.path(file))
    patches, cos, sin = bundles.image(case.bundle, rows, columns)
    answers = []
    for bucket in (80, 144):
        function = package.function(f"encode_{bucket}")
        given = {name: np.zeros(kind.shape, kind.numpy) for name, kind in function.signature.inputs.items()}
        for name, rows_of in zip(("patches", "rope_cos", "rope_sin"), (patches, cos, sin), strict=True):
            given[name][:80] = rows_of
        given["key_mask"][:80] = 1
        (embeddings,) = function.run(given).values()
        answers.append(embeddings[:20].astype(np.float32))
    # Not a bit more than the last one of fp16: sums of other lengths are added in another order.
    np.testing.assert_allclose(answers[1], answers[0], rtol=2e-3, atol=1e-3)


CONVERSATIONS = {
    "1:20": [Turn("Describe this image.", (random_image(28, 560),))],
    "two images, then another turn": [
        Turn("Which is bigger?", (random_image(84, 112, 1), random_image(140, 56, 2))),
        Turn("And now?"),
    ],
}


def check_tie(
    case: Case,
    prompt: tuple[int, ...],
    images: tuple[Image.Image, ...],
    tokens: tuple[int, ...],
    wanted: tuple[int, ...],
) -> None:
    """Where another token was chosen first, the reference has it within fp16's error of its own choice."""
    first = next(i for i, (a, b) in enumerate(zip(tokens, wanted, strict=False)) if a != b)
    (logits,) = case.reference.logits((*prompt, *wanted[:first]), images, 1)
    assert logits[wanted[first]] - logits[tokens[first]] < TIE * np.abs(logits).max()


@pytest.mark.parametrize("name", list(CONVERSATIONS))
def test_greedy_answers_are_those_of_transformers(case: Case, name: str) -> None:
    """Prefill in several calls, 32 tokens by the decode function."""
    session = ChatSession(case.bundle, open_coreml(case.bundle, native=False), keep_vision=True)
    eos = case.bundle.manifest.special_tokens.eos
    turns, answers = tuple(CONVERSATIONS[name]), []
    for index, turn in enumerate(turns):
        images = tuple(image for earlier in turns[: index + 1] for image in earlier.images)
        prompt = case.reference.prompt(turns[: index + 1], tuple(answers))
        expected = case.reference.generate(prompt, images, 32)
        content = [*({"type": "image", "image": i} for i in turn.images), {"type": "text", "text": turn.text}]
        answer = session.ask(content, max_tokens=32, sampler=Sampler())
        assert answer.prompt_token_ids == prompt
        if answer.token_ids != expected:
            check_tie(case, prompt, images, answer.token_ids, expected)
            break  # two conversations from here on
        answers.append(tuple(token for token in expected if token not in eos))


def test_chunks_are_the_same_as_the_whole(
    small_checkpoint: Path, small_coreml_bundle: Bundle, tmp_path: Path
) -> None:
    """To the bit where every operator is rounded to fp16, as what goes from chunk to chunk is."""
    settings = replace(COREML_SETTINGS, buckets=(16,))
    single = bundles.export(small_checkpoint, tmp_path / "bundle", "fp32", settings)
    for bundle, files in ((single, 1), (small_coreml_bundle, 2)):
        assert len({entry.file for entry in bundle.manifest.entries("text_decoder")}) == files
    ids = bundles.token_ids(45)
    whole, parts = (
        bundles.logits(bundle, open_coreml(bundle, native=False, round_fp16=True), ids, (32, 9, 1, 3))
        for bundle in (single, small_coreml_bundle)
    )
    np.testing.assert_array_equal(parts, whole)
