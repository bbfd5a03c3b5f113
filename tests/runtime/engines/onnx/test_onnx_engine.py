"""The engine over onnxruntime: its cache, and what it refuses before onnxruntime sees it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.executorch import open_executorch
from pocketvl.runtime.engines.onnx.engine import open_onnx
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import BundleError, EngineError, MissingExtraError, PocketVLError
from pocketvl.runtime.positions import vision_rope
from tests.runtime.engines.onnx import bundles
from tests.runtime.engines.onnx.bundles import decode, embeddings


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_onnx(bundle, threads=1)
    yield engine
    engine.close()


@settings(max_examples=20)
@given(data=st.data())
def test_tokens_may_come_in_any_parts(bundle: Bundle, engine: Engine, data: st.DataObject) -> None:
    """All at once or in parts, after whatever stood in the cache before: the same hidden states."""
    count = data.draw(st.integers(1, 32))
    rows = embeddings(bundle, count, seed=count)
    whole = decode(bundle, open_onnx(bundle, threads=1), rows, 0)
    parts, first = [], 0
    while first < count:
        end = data.draw(st.integers(first + 1, count))
        parts.append(decode(bundle, engine, rows[first:end], first))
        first = end
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_slots_are_written_again(bundle: Bundle, engine: Engine) -> None:
    """A turn that is taken back: slots from 10 on get other tokens, and those behind count as empty."""
    rows, other = embeddings(bundle, 30), embeddings(bundle, 5, seed=1)
    decode(bundle, engine, rows, 0)
    again = decode(bundle, engine, other, 10)
    fresh = open_onnx(bundle, threads=1)
    decode(bundle, fresh, rows[:10], 0)
    np.testing.assert_allclose(again, decode(bundle, fresh, other, 10), atol=1e-5)
    assert np.abs(again - decode(bundle, fresh, other, 0)).max() > 1e-3  # the first ten do matter


def test_the_whole_context_can_be_filled(bundle: Bundle, engine: Engine) -> None:
    """Chunk after chunk up to the last slot: what one call over all tokens gives."""
    chunk, context = bundle.manifest.prefill_chunk, bundle.manifest.max_context
    rows = embeddings(bundle, context)
    hidden = [decode(bundle, engine, rows[at : at + chunk], at) for at in range(0, context, chunk)]
    at_once = replace(bundle, manifest=replace(bundle.manifest, prefill_chunk=context))
    whole = decode(at_once, open_onnx(at_once, threads=1), rows, 0)
    np.testing.assert_allclose(np.concatenate(hidden), whole, atol=1e-4)
    alone = decode(bundle, open_onnx(bundle, threads=1), rows[-1:], context - 1)  # behind empty slots
    assert np.abs(alone - whole[-1:]).max() > 1e-3  # the slots before it do matter
    with pytest.raises(EngineError, match=f"outside the context of {context}"):
        decode(bundle, engine, embeddings(bundle, 1), context)


def test_results_stay_as_they_are(bundle: Bundle, engine: Engine) -> None:
    first = decode(bundle, engine, embeddings(bundle, 3), 0)
    kept = first.copy()
    logits = engine.text.logits(first)
    kept_logits = logits.copy()
    engine.text.logits(decode(bundle, engine, embeddings(bundle, 3, seed=9), 0))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(logits, kept_logits)


def test_logits_of_any_number_of_rows(bundle: Bundle, engine: Engine) -> None:
    hidden = embeddings(bundle, 40)
    logits = engine.text.logits(hidden)
    assert logits.shape == (40, bundle.manifest.geometry.text.vocab_size)
    np.testing.assert_allclose(
        np.concatenate([engine.text.logits(row[None]) for row in hidden]), logits, atol=1e-4
    )


def test_vision_is_loaded_again_after_its_release(bundle: Bundle, engine: Engine) -> None:
    vision = bundle.manifest.geometry.vision
    cos, sin = vision_rope(4, 6, vision)
    patches = np.random.default_rng(0).standard_normal((24, vision.patch_dim), np.float32)
    first = engine.vision.encode(patches, cos, sin)
    engine.vision.release()
    assert first.shape == (6, vision.output_size)
    np.testing.assert_array_equal(engine.vision.encode(patches, cos, sin), first)


def test_a_closed_engine_begins_anew(bundle: Bundle) -> None:
    engine = open_onnx(bundle, threads=1)
    rows = embeddings(bundle, 4)
    first = decode(bundle, engine, rows, 0)
    engine.close()
    np.testing.assert_array_equal(decode(bundle, engine, rows, 0), first)


def test_inputs_of_a_wrong_shape_are_refused(bundle: Bundle, engine: Engine) -> None:
    with pytest.raises(EngineError, match="33 tokens"):
        decode(bundle, engine, embeddings(bundle, 33), 0)
    with pytest.raises(EngineError, match="hidden must be float32"):
        engine.text.logits(embeddings(bundle, 2).astype(np.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, 257])
def test_threads_that_no_pool_should_have_are_refused(
    bundle: Bundle, small_bundle: Bundle, threads: int
) -> None:
    for each in (bundle, small_bundle):
        with pytest.raises(EngineError, match=f"{threads} threads"):
            open_engine(each, threads)


@pytest.mark.parametrize(
    ("engine", "own"),
    [(open_executorch, names.EXECUTORCH), (open_coreml, names.COREML), (open_onnx, names.ONNX)],
)
def test_a_bundle_for_another_target_is_refused(
    bundle: Bundle, engine: Callable[[Bundle], Engine], own: str
) -> None:
    for target in set(names.TARGETS) - {own}:
        other = replace(bundle, manifest=replace(bundle.manifest, target=target))
        with pytest.raises(BundleError, match=f"for {target}, not for {own}"):
            engine(other)


def test_without_onnxruntime_the_command_is_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketvl\[onnx\]'"):
        open_engine(bundle)


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def _input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "input_ids"


def _output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def _heads(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith(("past", "present")):
            value.type.tensor_type.shape.dim[1].dim_value *= 2


def _static(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


def _data(model: onnx.ModelProto) -> None:
    outside = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    for pair in outside.external_data:
        pair.value = "../../stolen" if pair.key == "location" else pair.value


def _operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Nothing"


@pytest.mark.parametrize("change", [_opset, _input, _output, _heads, _static, _data, _operator])
def test_an_unfit_graph_is_refused_in_a_sentence(bundle: Bundle, tmp_path: Path, change: object) -> None:
    changed = bundles.with_graph(bundle, tmp_path / "copy", names.HOST_TEXT_DECODER, change)  # type: ignore[arg-type]
    with pytest.raises(PocketVLError) as raised:
        decode(changed, open_onnx(changed, threads=1), embeddings(bundle, 2), 0)
    text = str(raised.value)
    assert names.HOST_TEXT_DECODER in text
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("kept", [0, 100, 4096])
def test_cut_weights_are_refused(bundle: Bundle, tmp_path: Path, kept: int) -> None:
    data = next(record.path for record in bundle.manifest.files if record.path.endswith("encoder.onnx_data"))
    content = (bundle.folder / data).read_bytes()[:kept]
    cut = bundles.with_file(bundle, tmp_path / "copy", data, content)
    vision = bundle.manifest.geometry.vision
    cos, sin = vision_rope(2, 2, vision)
    with pytest.raises(EngineError, match=r"cannot load .*host_vision_encoder\.onnx.* Copy the whole bundle"):
        open_onnx(cut, threads=1).vision.encode(np.zeros((4, vision.patch_dim), np.float32), cos, sin)


def test_nothing_is_said_on_stderr(bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """onnxruntime would log its errors beside raising them."""
    changed = bundles.with_graph(bundle, tmp_path / "copy", names.HOST_TEXT_DECODER, _operator)
    with pytest.raises(EngineError):
        decode(changed, open_onnx(changed, threads=1), embeddings(bundle, 2), 0)
    decode(bundle, open_onnx(bundle), embeddings(bundle, 2), 0)
    assert capfd.readouterr().err == ""
