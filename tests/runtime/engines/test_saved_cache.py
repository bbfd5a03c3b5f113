"""Keys and values out of an engine of each target and into another one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.saved.storage import read_chat
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine, Float32, SavesCache
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.positions import text_rope


@pytest.fixture(scope="module", params=["small_onnx_bundle", "small_coreml_bundle", "small_bundle"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


@pytest.fixture
def engines(bundle: Bundle) -> Iterator[tuple[Engine, Engine]]:
    both = open_engine(bundle, threads=1), open_engine(bundle, threads=1)
    yield both
    for engine in both:
        engine.close()


def decode(bundle: Bundle, engine: Engine, given: Float32, first: int) -> Float32:
    text = bundle.manifest.geometry.text
    positions = np.broadcast_to(np.arange(first, first + len(given)), (3, len(given)))
    return engine.text.decode(given, *text_rope(positions, text), first)


def test_a_saved_cache_goes_on_in_another_engine(bundle: Bundle, engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    width = bundle.manifest.geometry.text.hidden_size
    given = np.random.default_rng(0).standard_normal((20, width), np.float32)
    decode(bundle, one, given[:12], 0)
    assert isinstance(one.text, SavesCache)
    assert isinstance(other.text, SavesCache)
    saved = one.text.save_cache(12)
    expected = decode(bundle, one, given[12:], 12)
    decode(bundle, other, given[::-1].copy(), 0)  # what is there is overwritten
    assert other.text.load_cache(saved) == 12
    np.testing.assert_array_equal(decode(bundle, other, given[12:], 12), expected)
    # A copy: what is decoded later is not in it.
    np.testing.assert_array_equal(decode(bundle, one, given[12:], 12), expected)


def test_another_models_cache_is_refused(bundle: Bundle, engines: tuple[Engine, Engine]) -> None:
    one, _ = engines
    width = bundle.manifest.geometry.text.hidden_size
    decode(bundle, one, np.zeros((4, width), np.float32), 0)
    assert isinstance(one.text, SavesCache)
    saved = one.text.save_cache(4)
    first = next(iter(saved))
    axis = 1 if bundle.manifest.target == names.EXECUTORCH else 2
    long = np.concatenate([saved[first]] * 200, axis=axis)
    for wrong in (
        {},
        {name: tensor for name, tensor in saved.items() if name != first},
        saved | {"more": saved[first]},
        saved | {first: saved[first][..., 1:]},
        saved | {first: saved[first].astype(np.float64)},
        saved | {first: np.take(saved[first], [0, 1], axis)},
        dict.fromkeys(saved, long),
        dict.fromkeys(saved, np.zeros((), np.float32)),
    ):
        with pytest.raises(EngineError, match="of another model"):
            one.text.load_cache(wrong)


def test_a_file_that_does_not_name_its_buffers_is_fed_again(
    small_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bundles were exported before buffers had names."""
    monkeypatch.setattr(names, "cache_buffer", lambda layer, part: f"nameless.{layer}.{part}")
    engine = open_engine(small_bundle, threads=1)
    session = ChatSession(small_bundle, engine)
    image = Image.new("RGB", (84, 84), "red")
    session.ask("What?", images=[image], max_tokens=3)
    session.save(tmp_path / "saved")
    expected = session.ask("And?", max_tokens=3)
    assert read_chat(tmp_path / "saved", small_bundle.manifest).cached_slots == 0
    engine.close()
    restored = ChatSession.restore(tmp_path / "saved", small_bundle, engine)
    answer = restored.ask("And?", max_tokens=3)
    assert answer.token_ids == expected.token_ids
    assert (answer.statistics.images_encoded, answer.statistics.reused_tokens) == (0, 0)
    engine.close()
