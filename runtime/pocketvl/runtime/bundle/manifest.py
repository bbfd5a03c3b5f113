"""manifest.json: all that a runtime must know about a bundle, in one strict, versioned file."""

import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from pocketvl.runtime import names
from pocketvl.runtime.bundle.file import read_json
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry, SamplingDefaults, SpecialTokens
from pocketvl.runtime.bundle.limits import check_layer_limits, check_limits
from pocketvl.runtime.bundle.strict import from_json, shortened, to_json
from pocketvl.runtime.errors import ManifestError

Dimension = int | str  # a size, or the name of a dynamic one

_STORED_BITS = {"float32": 32, "float16": 16, "int8": 8, "offset_int8": 8, "int4": 4, "signed_int4": 4}
_SHA256 = re.compile("[0-9a-f]{64}")
_SCALE_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TensorSpec:
    """A named input or output; a dynamic dimension is a name such as "patches"."""

    name: str
    dtype: str  # numpy's name
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class EntryPoint:
    """One callable graph."""

    name: str  # vision_encoder, text_decoder (all its chunks, in their order), lm_head, token_embedding
    file: str  # or folder: a .mlpackage
    method: str  # differs from name for static shapes: vision_encoder_256, encode_256, prefill_64
    patches: int | None  # static number of patches, None where it is dynamic
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class EmbeddingTable:
    """Where a token's embedding stands, to be gathered from a memory map.

    Row r of the table starts at data_offset + r * row bytes. int8: value * scale; offset_int8: stored as
    value + 128. int4: two values a byte, low nibble first, stored as value + 8; signed_int4: in two's
    complement. Scales are row-major (rows, columns / group_size).
    """

    file: str
    rows: int
    columns: int
    storage: str  # float32, float16, int8, offset_int8, int4, signed_int4
    data_offset: int  # bytes from the start of the file
    scales_offset: int | None  # None for float storage
    scales_dtype: str | None  # float32, bfloat16 or float16
    group_size: int | None  # columns that share a scale; = columns for one scale a row

    def __post_init__(self) -> None:
        if self.storage not in _STORED_BITS:
            raise ValueError(f"storage {self.storage!r} is none of {', '.join(_STORED_BITS)}")
        scaled = (self.scales_offset, self.scales_dtype, self.group_size)
        if "int" in self.storage:
            if None in scaled:
                raise ValueError("an integer table needs scales_offset, scales_dtype and group_size")
            if self.scales_dtype not in _SCALE_DTYPES:
                raise ValueError(f"scales_dtype {self.scales_dtype!r} is none of {', '.join(_SCALE_DTYPES)}")
            if self.group_size is None or self.group_size < 1 or self.columns % self.group_size:
                raise ValueError(f"group_size {self.group_size} does not divide {self.columns} columns")
        elif any(part is not None for part in scaled):
            raise ValueError("a float table has no scales")
        if min(self.data_offset, self.scales_offset or 0) < 0 or min(self.rows, self.columns) < 1:
            raise ValueError("offsets must not be negative, rows and columns at least 1")

    @property
    def row_bytes(self) -> int:
        return self.columns * _STORED_BITS[self.storage] // 8

    @property
    def end(self) -> int:
        """The first byte behind the table and its scales."""
        end = self.data_offset + self.rows * self.row_bytes
        if self.scales_offset is not None and self.group_size is not None:
            width = 4 if self.scales_dtype == "float32" else 2
            end = max(end, self.scales_offset + self.rows * (self.columns // self.group_size) * width)
        return end


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one component that share bits: what `inspect` sums up."""

    component: str  # vision_encoder, text_decoder, lm_head, token_embedding
    bits: int  # 4, 8, 16 or 32
    group_size: int | None  # inputs that share a scale; None: one scale an output channel, or no scale
    layers: int
    parameters: int
    bytes: int  # weights and scales as stored

    def __post_init__(self) -> None:
        if min(self.bits, self.group_size or 1, self.layers) < 1 or min(self.parameters, self.bytes) < 0:
            raise ValueError(
                "bits, group_size and layers must be at least 1, parameters and bytes at least 0"
            )
        check_layer_limits(self.bits, self.group_size, self.layers)


@dataclass(frozen=True)
class FileRecord:
    path: str
    size: int  # bytes
    sha256: str  # 64 lowercase hexadecimal digits

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"the sha256 of {self.path} is not 64 lowercase hexadecimal digits")


@dataclass(frozen=True)
class Provenance:
    source: str  # the model as the user named it, without a machine's folders
    source_sha256: str  # over names, sizes and contents of config and weight files
    calibration: str | None  # what the samples were drawn from, and how many
    calibration_sha256: str | None  # over their images, prompts and answers
    pocketvl: str
    tools: dict[str, str]  # package -> version
    command: str
    source_revision: str | None = None  # commit on the hub; may be left out


@dataclass(frozen=True)
class Manifest:
    schema_version: int
    target: str
    recipe: str
    # none, rtn, hqq, gptq; gptq checkpoint, awq checkpoint; rotation; several joined by " + "
    quantization_method: str
    geometry: ModelGeometry
    special_tokens: SpecialTokens
    image: ImageSettings
    buckets: tuple[int, ...]  # patches, ascending; the last bounds an image
    max_context: int  # tokens that the KV cache holds
    prefill_chunk: int  # most tokens of one text_decoder call
    chat: bool  # False: a base model, prompted by completion
    sampling: SamplingDefaults
    entry_points: tuple[EntryPoint, ...]
    token_embedding: EmbeddingTable
    layers: tuple[LayerGroup, ...]
    files: tuple[FileRecord, ...]  # what an app needs
    optional_files: tuple[FileRecord, ...]  # what transformers.js alone reads; an app may leave them out
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.target not in names.TARGETS:
            raise ValueError(f"target {self.target!r} is none of {', '.join(names.TARGETS)}")
        if list(self.buckets) != sorted(set(self.buckets)) or not self.buckets or self.buckets[0] < 1:
            raise ValueError("buckets must be ascending numbers of patches, 1 or more")
        if any(bucket % self.geometry.vision.merge_area for bucket in self.buckets):
            raise ValueError(f"each bucket must be a multiple of {self.geometry.vision.merge_area} patches")
        if not 1 <= self.prefill_chunk <= self.max_context:
            raise ValueError(f"prefill_chunk {self.prefill_chunk} must lie in 1..{self.max_context}")
        check_limits(self.geometry, self.image, self.buckets, self.max_context)
        paths = {record.path for record in self.files}
        listed = set()
        for record in (*self.files, *self.optional_files):
            _check_relative(record.path)
            if record.path in listed:
                raise ValueError(f"the file {record.path} is listed twice")
            listed.add(record.path)
        for path in (*(entry.file for entry in self.entry_points), self.token_embedding.file):
            if path not in paths and not any(listed.startswith(f"{path}/") for listed in paths):
                raise ValueError(f"{path} is used but not listed under files")
        for needed in (names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD):
            if needed not in {entry.name for entry in self.entry_points}:
                raise ValueError(f"the entry point {needed} is missing")

    @property
    def content_sha256(self) -> str:
        """Equal for bundles of equal files: in hex, over a line "sha256  path" for each of them, by path."""
        lines = [f"{record.sha256}  {record.path}\n" for record in sorted(self.files, key=lambda f: f.path)]
        return sha256("".join(lines).encode()).hexdigest()

    def entries(self, name: str) -> tuple[EntryPoint, ...]:
        """The entry points of that name, smallest static shape first."""
        found = [entry for entry in self.entry_points if entry.name == name]
        return tuple(sorted(found, key=lambda entry: entry.patches or 0))


def write_manifest(manifest: Manifest, path: Path) -> None:
    path.write_text(json.dumps(to_json(manifest), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Parse and validate. Raises ManifestError."""
    if not os.path.lexists(path):
        raise ManifestError(f"{path} does not exist; is this folder a bundle that `pocketvl export` wrote?")
    value = read_json(path.parent, path.name, ManifestError)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != names.SCHEMA_VERSION:
        raise ManifestError(
            f"{path} has schema_version {shortened(version)}, but this pocketvl reads {names.SCHEMA_VERSION};"
            " export the bundle again with this version."
        )
    return from_json(Manifest, value, str(path))


def _check_relative(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not path:
        raise ValueError(f"the file path {path!r} must stay inside the bundle")
    if not path.isprintable():  # among others, what no file system takes: a null, half of a character
        raise ValueError(f"the file path {path!r} holds characters that cannot be printed")
