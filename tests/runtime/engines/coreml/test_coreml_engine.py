"""The engine over an exported Core ML bundle, beside ExecuTorch's over the same checkpoint."""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.executorch import open_executorch
from pocketvl.runtime.errors import BundleError, EngineError

FLOAT16 = 5e-3  # of the largest value: what float16 weights, states and borders between packages cost


@pytest.fixture(scope="module")
def bundle(small_coreml_bundle: Bundle) -> Bundle:
    return small_coreml_bundle


@pytest.fixture(scope="module")
def executorch(small_bundle: Bundle) -> Bundle:
    return small_bundle


@pytest.fixture
def engine(bundle: Bundle) -> Engine:
    return open_coreml(bundle, native=False)


@pytest.fixture(scope="module")
def reference(executorch: Bundle) -> Iterator[Engine]:
    engine = open_executorch(executorch, 1)
    yield engine
    engine.close()


def rows(count: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, count]).normal(size=(count, width)).astype(np.float32)


def angles(count: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    half = np.random.default_rng([seed, count]).uniform(0, 6, (count, width // 2)).astype(np.float32)
    whole = np.concatenate([half, half], axis=1)
    return np.cos(whole), np.sin(whole)


def assert_near(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < FLOAT16 * np.abs(expected).max()


@pytest.mark.parametrize("count", [4, 16, 20, 80, 100, 144])
def test_images_of_any_number_of_patches(
    engine: Engine, reference: Engine, bundle: Bundle, count: int
) -> None:
    vision = bundle.manifest.geometry.vision
    inputs = (rows(count, vision.patch_dim, 0), *angles(count, vision.head_dim, 1))
    assert_near(engine.vision.encode(*inputs), reference.vision.encode(*inputs))


def test_chunks_of_any_length_up_to_the_last_slot(engine: Engine, reference: Engine, bundle: Bundle) -> None:
    text, position = bundle.manifest.geometry.text, 0
    # 32 and 8 and 1 fit exactly, others are padded; near the end of 224 slots there is no room for padding.
    for seed, count in enumerate((20, 1, 32, 5, 8, 32, 32, 32, 32, 28, 2)):
        inputs = (rows(count, text.hidden_size, seed), *angles(count, text.head_dim, seed))
        hidden, expected = (one.text.decode(*inputs, position) for one in (engine, reference))
        assert_near(hidden, expected)
        assert_near(engine.text.logits(hidden[-3:]), reference.text.logits(expected[-3:]))
        position += count
    assert position == bundle.manifest.max_context


def test_a_slot_written_again_is_overwritten(engine: Engine, bundle: Bundle) -> None:
    text = bundle.manifest.geometry.text
    first, second = (
        (rows(count, text.hidden_size, count), *angles(count, text.head_dim, count)) for count in (6, 3)
    )
    engine.text.decode(*first, 0)
    alone = engine.text.decode(*second, 2)
    engine.text.decode(*(rows(30, width, 7) for width in (text.hidden_size, text.head_dim, text.head_dim)), 2)
    np.testing.assert_array_equal(engine.text.decode(*second, 2), alone)


def test_a_conversation_about_an_image(bundle: Bundle, executorch: Bundle, reference: Engine) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (84, 112, 3), dtype=np.uint8)
    question = [{"type": "image", "image": Image.fromarray(pixels)}, {"type": "text", "text": "What?"}]
    sessions = (
        ChatSession(bundle, open_coreml(bundle, native=False)),
        ChatSession(executorch, reference),
    )
    for content in (question, "And now?"):
        answer, expected = (session.ask(content, max_tokens=6) for session in sessions)
        assert answer.prompt_token_ids == expected.prompt_token_ids
        assert answer.token_ids == expected.token_ids


def test_rounding_every_op_stays_near(bundle: Bundle, reference: Engine) -> None:
    text = bundle.manifest.geometry.text
    inputs = (rows(9, text.hidden_size, 3), *angles(9, text.head_dim, 3))
    rounded = open_coreml(bundle, native=False, round_fp16=True).text.decode(*inputs, 0)
    plain = open_coreml(bundle, native=False, weight_cache_bytes=0).text.decode(*inputs, 0)
    assert_near(plain, reference.text.decode(*inputs, 0))
    difference = np.abs(rounded - plain).max()
    assert 0 < difference < 2 * FLOAT16 * np.abs(plain).max()


def test_packages_are_opened_again_after_a_release(engine: Engine, bundle: Bundle) -> None:
    vision = bundle.manifest.geometry.vision
    inputs = (rows(16, vision.patch_dim, 0), *angles(16, vision.head_dim, 1))
    before = engine.vision.encode(*inputs)
    engine.vision.release()
    np.testing.assert_array_equal(engine.vision.encode(*inputs), before)
    engine.close()
    np.testing.assert_array_equal(engine.vision.encode(*inputs), before)


def test_what_does_not_fit_is_refused(engine: Engine, bundle: Bundle, executorch: Bundle) -> None:
    text, vision = bundle.manifest.geometry.text, bundle.manifest.geometry.vision
    image = (rows(6, vision.patch_dim, 0), *angles(6, vision.head_dim, 1))
    with pytest.raises(EngineError, match="multiples of 4 up to 144"):
        engine.vision.encode(*image)
    part = (rows(4, text.hidden_size, 0), *angles(4, text.head_dim, 1))
    with pytest.raises(EngineError, match=r"222\.\.225 lie outside the context of 224"):
        engine.text.decode(*part, 222)
    with pytest.raises(EngineError, match="embeddings must be float32"):
        engine.text.decode(part[0].astype(np.float64), *part[1:], 0)
    with pytest.raises(EngineError, match="hidden must be float32"):
        engine.text.logits(part[0][:, :-1])
    with pytest.raises(BundleError, match="for executorch, not for coreml"):
        open_coreml(executorch, native=False)


def with_head(bundle: Bundle, **changes: object) -> Engine:
    """An engine whose manifest says something else about the function lm_head."""
    manifest = bundle.manifest
    entries = tuple(
        replace(entry, **changes) if entry.name == "lm_head" else entry  # type: ignore[arg-type]
        for entry in manifest.entry_points
    )
    return open_coreml(replace(bundle, manifest=replace(manifest, entry_points=entries)), native=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "tail"}, r"has no function 'tail'; its functions are: lm_head, token_embedding\."),
        ({"file": "text_decoder_0.mlpackage"}, "has no function 'lm_head'"),
        ({"inputs": (TensorSpec("ids", "float16", (1, 1, 96)),)}, "asks for 'ids', unknown to this pocketvl"),
        ({"inputs": (TensorSpec("hidden", "float32", (1, 1, 96)),)}, "must be float16 .*, not float32"),
        ({"inputs": (TensorSpec("hidden", "float16", (1, 2, 96)),)}, r"not float16 \[1, 2, 96\]"),
    ],
)
def test_a_manifest_that_does_not_fit_its_packages(
    bundle: Bundle, changes: dict[str, object], message: str
) -> None:
    engine = with_head(bundle, **changes)
    with pytest.raises(EngineError, match=message):
        engine.text.logits(rows(1, bundle.manifest.geometry.text.hidden_size, 0))


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")
def test_core_ml_itself_is_refused_where_it_does_not_run(bundle: Bundle) -> None:
    text = bundle.manifest.geometry.text
    engine = open_coreml(bundle, native=True)
    with pytest.raises(EngineError, match=r"lm_head of .*head\.mlpackage failed in Core ML"):
        engine.text.logits(rows(1, text.hidden_size, 0))
    open_bundle(bundle.folder, verify="always")  # coremltools changed nothing
