"""A manifest whose entry points do not follow from its geometry and settings is refused in a sentence."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.export.component import ExportSettings
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import (
    entry_point_fault,
    expected_entry_points,
    package_decoder,
    pte_vision,
)
from pocketvl.runtime.bundle.manifest import EntryPoint, FileRecord, Manifest, TensorSpec, write_manifest
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import BundleError
from tests.support.bundles import export_for_test
from tests.support.checkpoints import SMALL_GEOMETRY, write_checkpoint
from tests.support.geometries import ONE_LAYER
from tests.support.manifests import small_manifest, write_small_bundle

FILES = tuple(FileRecord(path, 1, "a" * 64) for path in (names.VISION_ENCODER_PTE, names.TEXT_DECODER_PTE))
EXECUTORCH = small_manifest(FILES)


def manifest_of(target: str, chunks: int = 1) -> Manifest:
    """With what an exporter for the target writes."""
    files = [names.text_decoder_package(chunk, chunks) for chunk in range(chunks)]
    decoders = tuple(package_decoder(SMALL_GEOMETRY.text, 128, 1, file) for file in files)
    described = [(entry.file, entry) for entry in (*EXECUTORCH.entry_points, *decoders)]
    listed = (*FILES, *(FileRecord(f"{file}/a", 1, "a" * 64) for file, _ in described[3:]))
    vision, _, head = EXECUTORCH.entry_points
    first = replace(EXECUTORCH, files=listed, entry_points=(vision, *decoders, head))
    object.__setattr__(first, "target", target)  # only to compute from
    expected = expected_entry_points(first if target != names.EXECUTORCH else EXECUTORCH)
    listed = tuple(FileRecord(f, 1, "a" * 64) for f in {e.file for e in expected} | {FILES[1].path})
    return replace(EXECUTORCH, target=target, files=listed, entry_points=expected)


MANIFESTS = {
    "executorch": manifest_of(names.EXECUTORCH),
    "executorch by buckets": replace(
        EXECUTORCH,
        entry_points=(
            *(pte_vision(SMALL_GEOMETRY.vision, bucket) for bucket in EXECUTORCH.buckets),
            *EXECUTORCH.entry_points[1:],
        ),
    ),
    "coreml": manifest_of(names.COREML),
    "coreml in two chunks": manifest_of(names.COREML, chunks=2),
    "onnx": manifest_of(names.ONNX),
}


def with_entry(manifest: Manifest, name: str, change: Callable[[EntryPoint], EntryPoint]) -> Manifest:
    """With another first entry point of that name."""
    entries = list(manifest.entry_points)
    index = next(i for i, entry in enumerate(entries) if entry.name == name)
    entries[index] = change(entries[index])
    return replace(manifest, entry_points=tuple(entries))


def tensor(index: int, **changes: Any) -> Callable[[EntryPoint], EntryPoint]:
    def change(entry: EntryPoint) -> EntryPoint:
        inputs = list(entry.inputs)
        inputs[index] = replace(inputs[index], **changes)
        return replace(entry, inputs=tuple(inputs))

    return change


@pytest.mark.parametrize("kind", list(MANIFESTS))
def test_what_exporters_write_passes(kind: str) -> None:
    assert entry_point_fault(MANIFESTS[kind]) is None


VISION, DECODER, HEAD = names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD
CHANGES: list[tuple[str, str, Callable[[EntryPoint], EntryPoint], str]] = [
    (
        "coreml",
        VISION,
        lambda e: replace(e, patches=None),
        "the patches None, but it needs 16",
    ),
    ("coreml", VISION, lambda e: replace(e, patches=512), "the patches 512, but it needs 16"),
    (
        "coreml",
        VISION,
        lambda e: replace(e, method="encode_512"),
        "'encode_512' .* where 'encode_16'",
    ),
    (
        "coreml",
        VISION,
        tensor(0, shape=(1176,)),
        r"'patches' .* \[1176\], but .* \[16, 1176\]",
    ),
    ("coreml", VISION, tensor(0, shape=()), r"float16 \[\], but .* need float16 \[16, 1176\]"),
    ("coreml", VISION, tensor(0, shape=(-1, 1176)), r"float16 \[-1, 1176\]"),
    ("coreml", VISION, tensor(0, shape=(10**12, 1176)), r"float16 \[1000000000000, 1176\]"),
    ("coreml", VISION, tensor(0, shape=("patches", 1176)), r"float16 \['patches', 1176\]"),
    ("coreml", VISION, tensor(0, dtype="bananas"), r"'patches' of .* as bananas \[16, 1176\]"),
    ("coreml", VISION, tensor(3, dtype="float32"), "'key_mask' of"),
    (
        "coreml",
        VISION,
        lambda e: replace(e, outputs=()),
        r"outputs \[\], but it needs \['image",
    ),
    (
        "coreml",
        VISION,
        lambda e: replace(e, outputs=(replace(e.outputs[0], name="other"),)),
        r"the outputs \['other'\], but it needs \['image_embeddings'\]",
    ),
    ("coreml", DECODER, tensor(0, shape=(1, 1, 95)), r"'embeddings' of the entry point 'decode'"),
    ("coreml", DECODER, tensor(4, shape=(1, 1, 1, 127)), r"'attention_mask' of .* \[1, 1, 1, 128\]"),
    ("coreml", HEAD, tensor(0, shape=(1, 2, 96)), r"'hidden' of .* 'lm_head' as float16 \[1, 2, 96\]"),
    (
        "coreml",
        "lm_head",
        lambda e: replace(e, outputs=(TensorSpec("logits", "float16", (1, 1, 9)),)),
        "'logits'",
    ),
    ("coreml", names.TOKEN_EMBEDDING, tensor(0, shape=(1, 31)), r"'ids' of .* int32 \[1, 32\]"),
    (
        "coreml in two chunks",
        "text_decoder",
        lambda e: replace(e, file="text_decoder_1.mlpackage"),
        "where 'decode'",
    ),
    ("executorch", VISION, tensor(0, shape=("patches", 2744)), r"\['patches', 2744\], but"),
    (
        "executorch",
        "text_decoder",
        lambda e: replace(e, inputs=e.inputs[::-1]),
        r"inputs \['cache_position', ",
    ),
    (
        "executorch",
        "lm_head",
        lambda e: replace(e, file="vision_encoder.pte"),
        "'lm_head' in 'text_decoder.pte'",
    ),
    ("executorch by buckets", VISION, tensor(3, shape=(64,)), r"'key_mask' of"),
    ("onnx", DECODER, tensor(5, shape=(1, 3, "past", 16)), r"'past_key_values\.0\.key' of"),
    ("onnx", VISION, lambda e: replace(e, patches=16), "the patches 16, but it needs None"),
]


@pytest.mark.parametrize(("kind", "name", "change", "said"), CHANGES)
def test_what_does_not_fit_is_named(
    kind: str, name: str, change: Callable[[EntryPoint], EntryPoint], said: str
) -> None:
    fault = entry_point_fault(with_entry(MANIFESTS[kind], name, change))
    assert fault is not None
    assert re.search(said, fault), fault


@pytest.mark.parametrize("kind", list(MANIFESTS))
def test_one_entry_point_more_or_less(kind: str) -> None:
    entries = MANIFESTS[kind].entry_points
    more = replace(MANIFESTS[kind], entry_points=(*entries, entries[0]))
    assert "has the entry point" in str(entry_point_fault(more))
    for index, entry in enumerate(entries):
        rest = entries[:index] + entries[index + 1 :]
        if len({e.name for e in rest}) == len({e.name for e in entries}):
            assert entry_point_fault(replace(MANIFESTS[kind], entry_points=rest)) is not None, entry


def test_other_settings_need_other_entry_points() -> None:
    """Geometry and settings are as much in doubt as the entry points."""
    vision = replace(SMALL_GEOMETRY.vision, in_channels=7)
    for kind, manifest in MANIFESTS.items():
        geometry = replace(manifest.geometry, vision=vision)
        assert "1176], but" in str(entry_point_fault(replace(manifest, geometry=geometry))), kind
    for change in ({"buckets": (16, 32)}, {"max_context": 96}, {"prefill_chunk": 16}):
        assert entry_point_fault(replace(MANIFESTS["coreml"], **change)) is not None, change


@settings(max_examples=200)
@given(data=st.data())
def test_any_other_tensor_is_refused(data: st.DataObject) -> None:
    manifest = MANIFESTS[data.draw(st.sampled_from(list(MANIFESTS)))]
    entry = data.draw(st.sampled_from(manifest.entry_points))
    index = data.draw(st.integers(0, len(entry.inputs) - 1))
    spec = entry.inputs[index]
    size = st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=200)
    other = TensorSpec(
        data.draw(st.just(spec.name) | st.text(max_size=200)),
        data.draw(st.just(spec.dtype) | st.text(max_size=200)),
        data.draw(st.just(spec.shape) | st.lists(size, max_size=300).map(tuple)),
    )
    inputs = (*entry.inputs[:index], other, *entry.inputs[index + 1 :])
    entries = tuple(replace(e, inputs=inputs) if e is entry else e for e in manifest.entry_points)
    fault = entry_point_fault(replace(manifest, entry_points=entries))
    assert (fault is None) == (other == spec)
    assert len(fault or "") < 1000


def test_a_bundle_with_other_entry_points_does_not_open(tmp_path: Path) -> None:
    manifest = write_small_bundle(tmp_path)
    changed = with_entry(manifest, names.VISION_ENCODER, tensor(0, dtype="float16"))
    write_manifest(changed, tmp_path / names.MANIFEST_FILE)
    write_manifest_hash(tmp_path)
    with pytest.raises(BundleError) as raised:
        open_bundle(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'manifest.json'} has the input 'patches' of the entry point 'vision_encoder' as float16"
        " ['patches', 1176], but its geometry and settings need float32 ['patches', 1176]; export the bundle"
        " again."
    )


def test_a_bundle_with_a_method_a_bucket_opens(tmp_path: Path) -> None:
    """Other settings and targets are opened by the tests of their exporters."""
    geometry = replace(ONE_LAYER, text=replace(ONE_LAYER.text, tie_word_embeddings=False))
    write_checkpoint(tmp_path / "checkpoint", geometry)
    by_buckets = ExportSettings(buckets=(16, 64), max_context=64, prefill_chunk=16, vision_shapes="buckets")
    bundle = export_for_test(tmp_path / "checkpoint", tmp_path / "bundle", "int4", by_buckets)
    assert [entry.patches for entry in bundle.manifest.entries(names.VISION_ENCODER)] == [16, 64]
    assert bundle.manifest.token_embedding.file == names.TOKEN_EMBEDDING_FILE
