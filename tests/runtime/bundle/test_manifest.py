"""manifest.json is read back exactly, and anything else in it is refused by name."""

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import (
    EmbeddingTable,
    FileRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from pocketvl.runtime.bundle.strict import from_json, to_json
from pocketvl.runtime.errors import ManifestError
from tests.support.manifests import small_manifest

FILES = (FileRecord(names.TEXT_DECODER_PTE, 2, "b" * 64), FileRecord(names.VISION_ENCODER_PTE, 1, "a" * 64))
OPTIONAL = (FileRecord(names.CONFIG_FILE, 3, "c" * 64),)
GOOD: dict[str, Any] = to_json(replace(small_manifest(FILES), optional_files=OPTIONAL))
KeyPath = tuple[str | int, ...]


def positions(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from positions(item, (*path, key))


def at(value: Any, path: KeyPath) -> Any:
    for key in path:
        value = value[key]
    return value


ALL = list(positions(GOOD))
# Keys of `tools` are free, everything else is a field.
OPTIONAL_KEYS = [("provenance", "source_revision")]
FIELDS = [
    path
    for path in ALL
    if isinstance(path[-1], str) and path[:-1] != ("provenance", "tools") and path not in OPTIONAL_KEYS
]
OBJECTS = [(), *(path for path in ALL if isinstance(at(GOOD, path), dict) and path[-1] != "tools")]


def parse(value: Any) -> Manifest:
    return from_json(Manifest, value, "manifest.json")


def test_round_trip(tmp_path: Path) -> None:
    manifest = small_manifest(FILES)
    write_manifest(manifest, tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json") == manifest


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_a_missing_key(path: KeyPath) -> None:
    value = deepcopy(GOOD)
    del at(value, path[:-1])[path[-1]]
    with pytest.raises(ManifestError, match=f"lacks the key '{path[-1]}'"):
        parse(value)


@pytest.mark.parametrize("path", OPTIONAL_KEYS, ids=".".join)
def test_a_key_that_may_be_missing(path: KeyPath) -> None:
    value = deepcopy(GOOD)
    del at(value, path[:-1])[path[-1]]
    assert at(to_json(parse(value)), path) is None


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)))
def test_an_unknown_key(path: KeyPath) -> None:
    value = deepcopy(GOOD)
    at(value, path)["surprise"] = 1
    with pytest.raises(ManifestError, match="unknown key 'surprise'"):
        parse(value)


@settings(max_examples=300)
@given(path=st.sampled_from(ALL), wrong=st.sampled_from([True, 1.5, "x", [], [{}], {}, {"a": []}, None]))
def test_wrong_types(path: KeyPath, wrong: Any) -> None:
    """A value of another type is refused, unless the field takes that type, too."""
    value = deepcopy(GOOD)
    good = at(value, path)
    at(value, path[:-1])[path[-1]] = wrong
    if type(wrong) is type(good) or wrong is None or good is None:
        return
    if isinstance(good, int) and path[-2:-1] == ("shape",) and isinstance(wrong, str):
        assert parse(value) is not None
        return
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        parse(value)


@settings(max_examples=200)
@given(path=st.sampled_from(ALL), number=st.one_of(st.integers(-5, 2**70), st.floats(), st.just(10**400)))
def test_no_number_breaks_the_reader(path: KeyPath, number: float) -> None:
    value = deepcopy(GOOD)
    at(value, path[:-1])[path[-1]] = number
    try:
        manifest = parse(value)
    except ManifestError:
        return
    read = at(to_json(manifest), path)
    assert read == (float(number) if isinstance(read, float) else number)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("target",), "windows", "'windows'"),
        (("buckets",), [], "ascending"),
        (("buckets",), [64, 16], "ascending"),
        (("buckets",), [16, 16], "ascending"),
        (("buckets",), [18], "multiple of 4"),
        (("buckets",), [0], "1 or more"),
        (("buckets",), [-4, 4], "1 or more"),
        (("buckets",), [2**21], "a bucket is 2097152"),
        (("max_context",), 2**40, "max_context is 1099511627776, but must not be more than 1048576"),
        (("geometry", "text", "num_layers"), 10**6, "num_layers is 1000000"),
        (("geometry", "text", "max_position_embeddings"), 2**62, "max_position_embeddings is"),
        (("geometry", "text", "mrope_section"), [9, -4, 3], "must not be negative"),
        (("geometry", "vision", "depth"), 1025, "depth is 1025"),
        (("geometry", "vision", "patch_size"), 257, "patch_size is 257"),
        (("image", "max_pixels"), 2**50, "max_pixels is"),
        (("prefill_chunk",), 0, "prefill_chunk 0"),
        (("prefill_chunk",), 129, "prefill_chunk 129"),
        (("files", 0, "path"), "../text_decoder.pte", "inside the bundle"),
        (("files", 0, "path"), "/etc/passwd", "inside the bundle"),
        (("files", 0, "path"), "a\\b", "inside the bundle"),
        (("files", 0, "path"), "", "inside the bundle"),
        (("files", 0, "path"), "a\0b", "cannot be printed"),
        (("files", 0, "path"), "a\ud800", "cannot be printed"),
        (("files", 0, "path"), names.VISION_ENCODER_PTE, "vision_encoder.pte is listed twice"),
        (("optional_files", 0, "path"), names.VISION_ENCODER_PTE, "vision_encoder.pte is listed twice"),
        (("optional_files", 0, "path"), "../config.json", "inside the bundle"),
        (("files", 0, "path"), "other.pte", "text_decoder.pte is used but not listed"),
        (("entry_points", 0, "name"), "vision", "vision_encoder is missing"),
        (("token_embedding", "file"), "token_embedding.bin", "token_embedding.bin is used"),
        (("token_embedding", "storage"), "int3", "'int3'"),
        (("token_embedding", "group_size"), 7, "group_size 7"),
        (("token_embedding", "group_size"), None, "needs scales_offset"),
        (("token_embedding", "scales_dtype"), "float64", "'float64'"),
        (("token_embedding", "data_offset"), -1, "negative"),
        (("geometry", "text", "head_dim"), 15, "mrope_section"),
        (("geometry", "vision", "num_heads"), 3, "3 heads"),
        (("geometry", "vision", "output_size"), 64, "64"),
        (("image", "min_pixels"), 0, "min_pixels 0"),
        (("sampling", "temperature"), -0.5, "temperature must be 0"),
        (("sampling", "top_k"), -1, "top_k must be 0"),
        (("sampling", "top_p"), 0, "top_p must lie above 0"),
        (("sampling", "top_p"), 1.5, "top_p must lie above 0"),
        (("sampling", "repetition_penalty"), 0, "repetition_penalty must be above 0"),
        (("sampling", "repetition_penalty"), -1.5, "repetition_penalty must be above 0"),
        (("geometry", "text", "rope_theta"), float("nan"), "rope_theta must be a finite number"),
        (("geometry", "text", "rope_theta"), 10**400, "rope_theta must be a finite number"),
        (("layers", 0, "bytes"), 10**400, r"layers\[0\].bytes must be an integer of at most 64 bits"),
        (("layers", 0, "group_size"), -(2**63), r"group_size must be an integer of at most 64 bits"),
        (("layers", 0, "bits"), 0, "must be at least 1"),
        (("layers", 0, "parameters"), -1, "at least 0"),
        (("entry_points", 0, "patches"), 2**63, "patches must be an integer of at most 64 bits"),
        (("entry_points", 0, "inputs", 0, "shape", 0), 10**30, r"shape\[0\] must be an integer of at most"),
        (("files", 0, "size"), 10**400, r"size must be an integer of at most 64 bits"),
        (("files", 0, "sha256"), "B" * 64, "sha256 of text_decoder.pte is not 64 lowercase"),
        (("sampling", "top_k"), 2**64, "top_k must be an integer of at most 64 bits"),
    ],
)
def test_impossible_values(path: KeyPath, value: Any, said: str) -> None:
    changed = deepcopy(GOOD)
    at(changed, path[:-1])[path[-1]] = value
    with pytest.raises(ManifestError, match=said):
        parse(changed)


@pytest.mark.parametrize("version", [0, 1, "1", None])
def test_another_schema(tmp_path: Path, version: object) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(GOOD | {"schema_version": version}))
    with pytest.raises(ManifestError, match=f"schema_version {version!r}"):
        read_manifest(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "null", "[" * 200_000, "9" * 5000, '["\\ud800"]'])
def test_files_that_are_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        read_manifest(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "manifest.json")


def test_a_pipe_and_a_device_are_no_manifest(tmp_path: Path) -> None:
    """To open the one would wait for good, to read the other would take all memory."""
    path = tmp_path / "manifest.json"
    os.mkfifo(path)
    with pytest.raises(ManifestError, match="no regular file"):
        read_manifest(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ManifestError, match="leaves the bundle"):
        read_manifest(path)


def test_a_manifest_of_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestError, match="has 1099511627776 bytes"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("storage", "scales", "group", "end"),
    [
        ("float32", (None, None), None, 100 + 3 * 64 * 4),
        ("float16", (None, None), None, 100 + 3 * 64 * 2),
        ("int8", (1000, "float32"), 64, 1000 + 3 * 4),
        ("int8", (0, "float32"), 64, 100 + 3 * 64),
        ("int4", (1000, "bfloat16"), 32, 1000 + 3 * 2 * 2),
    ],
)
def test_the_end_of_a_table(
    storage: str, scales: tuple[int | None, str | None], group: int | None, end: int
) -> None:
    assert EmbeddingTable("f", 3, 64, storage, 100, *scales, group).end == end


def test_a_float_table_with_scales() -> None:
    with pytest.raises(ValueError, match="no scales"):
        EmbeddingTable("f", 3, 64, "float32", 0, 10, None, None)
