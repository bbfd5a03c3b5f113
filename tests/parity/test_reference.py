"""fp32 bundles of random checkpoints, in the engine of each target, against transformers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pocketvl.evaluate.components import Components
from pocketvl.evaluate.metrics import relative_error
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.samples import Turn
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from tests.support.bundles import SETTINGS, export_for_test
from tests.support.checkpoints import write_checkpoint
from tests.support.geometries import GEOMETRIES
from tests.support.images import random_image

SMALL = {names.EXECUTORCH: "small_bundle", names.ONNX: "small_onnx_bundle"}  # fixtures
LAYOUTS = dict(zip(GEOMETRIES, ("hub", "transformers5", "hub"), strict=True))
MAX_PIXELS = SETTINGS.buckets[-1] * 14 * 14


@dataclass(frozen=True)
class Case:
    bundle: Bundle
    engine: Engine
    reference: Reference


@pytest.fixture(scope="module", params=product(SMALL, GEOMETRIES), ids=" ".join)
def case(
    request: pytest.FixtureRequest, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    target, geometry = request.param
    bundle, checkpoint = request.getfixturevalue(SMALL[target]), small_checkpoint
    if GEOMETRIES[geometry] != bundle.manifest.geometry:
        folder = tmp_path_factory.mktemp("parity")
        checkpoint = folder / "checkpoint"
        write_checkpoint(checkpoint, GEOMETRIES[geometry], layout=LAYOUTS[geometry])
        bundle = export_for_test(checkpoint, folder / "bundle", target=target)
    engine = open_engine(bundle, threads=1)
    yield Case(bundle, engine, Reference(checkpoint, 3136, MAX_PIXELS))
    engine.close()


SIZES = [(112, 112), (28, 560), (560, 28), (97, 61), (500, 300), (12, 560)]


@pytest.mark.parametrize("size", SIZES)
def test_image_embeddings_equal_the_reference(case: Case, size: tuple[int, int]) -> None:
    value = Components(case.bundle, case.engine).encode_image(random_image(*size))
    expected = case.reference.encode_image(random_image(*size))
    assert value.shape == expected.shape
    assert relative_error(value, expected) < 1e-4


LONG = "How many circles are in the picture? " * 6  # more tokens than a prefill chunk

CONVERSATIONS = {
    "text only": [Turn("What does the sign say?")],
    "square": [Turn("Describe this image.", (random_image(112, 112),))],
    "1:20": [Turn("Describe this image.", (random_image(28, 560),))],
    "20:1": [Turn("Describe this image.", (random_image(560, 28),))],
    "two images": [Turn("Which is bigger?", (random_image(84, 112, 1), random_image(140, 56, 2)))],
    "three turns": [
        Turn("What is this?", (random_image(56, 112, 3),)),
        Turn("And this?", (random_image(112, 56, 4),)),
        Turn("Which is bigger?"),
    ],
    "long prompt": [Turn(LONG, (random_image(112, 84, 5),))],
}


@pytest.mark.parametrize("name", list(CONVERSATIONS))
def test_greedy_answers_and_logits_equal_the_reference(case: Case, name: str) -> None:
    turns = tuple(CONVERSATIONS[name])
    tokens = 64 if len(turns) == 1 else 20
    eos = case.bundle.manifest.special_tokens.eos
    session = ChatSession(case.bundle, case.engine, keep_vision=True)
    answers: list[tuple[int, ...]] = []
    for index, turn in enumerate(turns):
        images = tuple(image for earlier in turns[: index + 1] for image in earlier.images)
        prompt = case.reference.prompt(turns[: index + 1], tuple(answers))
        expected = case.reference.generate(prompt, images, tokens)
        content = [*({"type": "image", "image": i} for i in turn.images), {"type": "text", "text": turn.text}]
        answer = session.ask(content, max_tokens=tokens, sampler=Sampler())
        assert answer.prompt_token_ids == prompt
        assert answer.token_ids == expected
        if case.reference.forceable(expected) != expected:
            break  # a placeholder was said, which transformers would take for another image in the next turn
        answers.append(tuple(token for token in expected if token not in eos))
    forced = case.reference.forceable(expected)[:39]
    value = Components(case.bundle, case.engine).logits(prompt, forced, images)
    wanted = case.reference.logits((*prompt, *forced), images, len(forced) + 1)
    assert value.shape == wanted.shape
    assert np.abs(value - wanted).max() < 1e-3
