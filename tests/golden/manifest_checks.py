"""Edits of single values of a manifest, for manifests.py beside this: each type, range and rule of it."""

from collections.abc import Iterator
from typing import Any

from tests.golden.manifest_edits import (
    BIG,
    IMAGE,
    MILLION,
    NULLABLE,
    OBJECTS,
    SAMPLING,
    SPECIAL,
    TEXT,
    VISION,
    Case,
    Check,
    edited,
    steps,
)
from tests.golden.manifest_table_checks import table_checks
from tests.golden.written import Json


def value_cases(valid: Json) -> Iterator[Case]:
    yield from _types(valid)
    for checks in (_sizes, _geometry, _settings, _tokens_and_sampling, table_checks, _lists):
        for path, value, refused in checks():
            yield edited(path, set=value, refused=refused)
    for path, raw, refused in _written():
        yield edited(path, raw=raw, refused=refused)
    yield from _together()


def _types(valid: Json) -> Iterator[Case]:
    """Values of three other types for each field."""
    others = {"bool": True, "int": 3, "float": 1.5, "str": "x", "list": [], "dict": {}, "null": None}
    turn = 0
    for owner, keys in OBJECTS.items():
        path = steps(owner)
        for key in keys.split():
            value: Any = valid
            for step in (*path, key):
                value = value[step]
            if isinstance(value, dict) or key in ("schema_version", "source_revision"):
                continue
            wanted = type(value).__name__
            word = "a list" if wanted == "list" else wanted
            taken = {wanted, "int" if wanted == "float" else "", "null" if key in NULLABLE else ""}
            wrong = [kind for kind in others if kind not in taken]
            for number in range(3):
                kind = wrong[(turn + number) % len(wrong)]
                yield edited([*path, key], set=others[kind], refused=f"{key} must be {word}, not {kind}")
            turn += 1


def _sizes() -> Iterator[Check]:
    """Numbers at and beyond their bounds."""
    for path, names in (
        (VISION, "depth hidden_size intermediate_size num_heads in_channels patch_size temporal_patch_size"),
        (VISION, "spatial_merge_size output_size"),
        (TEXT, "num_layers hidden_size intermediate_size num_heads num_kv_heads head_dim vocab_size"),
        (TEXT, "max_position_embeddings"),
    ):
        for name in names.split():
            yield [*path, name], 0, f"{name} must be at least 1, not 0"
            yield [*path, name], BIG, f"{name} must be an integer of at most 64 bits"
    for path, name, most in (
        (VISION, "depth", 1024), (VISION, "intermediate_size", MILLION), (VISION, "in_channels", 16),
        (VISION, "patch_size", 256), (VISION, "temporal_patch_size", 16), (TEXT, "num_layers", 1024),
        (TEXT, "intermediate_size", MILLION), (TEXT, "vocab_size", MILLION), (IMAGE, "max_pixels",
        (1 << 31) - 1),
        (TEXT, "max_position_embeddings", 1 << 30),
    ):  # fmt: skip
        if name in ("max_pixels", "max_position_embeddings"):
            yield [*path, name], most, None
            yield [*path, name], most + 1, name
        else:
            yield [*path, name], most + 1, f"{name} is {most + 1}, but must not be more than {most}"
        yield [*path, name], 1 << 40, name
    yield [*VISION, "intermediate_size"], MILLION, None
    yield [*TEXT, "intermediate_size"], MILLION, None
    yield [*VISION, "depth"], 1024, None


def _geometry() -> Iterator[Check]:
    """Sizes that belong together."""
    yield (
        [*VISION, "num_heads"],
        3,
        "vision hidden_size 8 must divide into 3 heads whose size is a multiple of 4",
    )
    yield [*VISION, "num_heads"], 4, "whose size is a multiple of 4"
    yield [*VISION, "in_channels"], 1, "has in_channels 1, but images have 3"
    yield [*VISION, "output_size"], 9, "vision output size 9 differs from the decoder's hidden size 8"
    yield [*VISION, "spatial_merge_size"], 1, "need float32 [4, 8]"
    yield [*VISION, "spatial_merge_size"], 4, "each bucket must be a multiple of 16 patches"
    yield [*VISION, "spatial_merge_size"], 65536, "each bucket must be a multiple of 4294967296 patches"
    yield [*VISION, "patch_size"], 3, "need float32 [4, 54]"
    yield [*TEXT, "num_kv_heads"], 3, "2 query heads do not divide among 3 key-value heads"
    yield [*TEXT, "num_kv_heads"], 2, None
    yield [*TEXT, "head_dim"], 6, "must sum to half of head_dim 6"
    yield [*TEXT, "mrope_section"], [1, 1, 1], "must sum to half of head_dim 4"
    yield [*TEXT, "mrope_section"], [3, -1, 0], "must not be negative"
    yield [*TEXT, "mrope_section"], [2, 0, 0], None
    yield [*TEXT, "mrope_section"], [1, 1], "mrope_section must have 3 items, not 2"
    yield [*TEXT, "mrope_section"], [1, 1, 0, 0], "mrope_section must have 3 items, not 4"
    yield [*TEXT, "mrope_section", 1], 1.0, "mrope_section[1] must be int, not float"
    yield [*TEXT, "mrope_section", 0], BIG, "mrope_section[0] must be an integer of at most 64 bits"
    yield [*TEXT, "vocab_size"], 15, "has an embedding table of 16 x 8, but the model needs 15 x 8"
    yield [*TEXT, "max_position_embeddings"], 31, "has max_context 32, more than the model's 31"
    yield [*TEXT, "max_position_embeddings"], 32, None
    yield [*TEXT, "rope_theta"], 10000, None  # a whole number is a float, too
    yield [*TEXT, "rope_theta"], -1, None
    yield [*TEXT, "rope_theta"], 10**30, None
    yield [*TEXT, "rope_theta"], 10**400, "rope_theta must be a finite number"


def _settings() -> Iterator[Check]:
    """Images, buckets, context, target and version."""
    value: Any
    yield [*IMAGE, "min_pixels"], 0, "min_pixels 0 must lie in 1..max_pixels 4096"
    yield [*IMAGE, "min_pixels"], 4096, None
    yield [*IMAGE, "min_pixels"], 4097, "min_pixels 4097 must lie in 1..max_pixels 4096"
    yield [*IMAGE, "max_pixels"], 15, "min_pixels 16 must lie in 1..max_pixels 15"
    yield [*IMAGE, "std"], [0.5, 0.5, 0], "must be positive"
    yield [*IMAGE, "std"], [0.5, -0.5, 1], "must be positive"
    yield [*IMAGE, "std"], [0.5, 0.5], "std must have 3 items, not 2"
    yield [*IMAGE, "mean"], [], "mean must have 3 items, not 0"
    yield [*IMAGE, "mean"], [0, -1, 2], None
    yield [*IMAGE, "mean", 2], "0.5", "mean[2] must be float, not str"
    yield [*IMAGE, "std", 0], None, "std[0] must be float, not null"
    for value in ([], [16, 4], [4, 4], [0, 4], [-4, 4]):
        yield ["buckets"], value, "buckets must be ascending numbers of patches, 1 or more"
    yield ["buckets"], [4, 18], "each bucket must be a multiple of 4 patches"
    yield ["buckets"], [4, 1 << 21], "a bucket is 2097152, but must not be more than 1048576"
    yield ["buckets"], [4, 16.0], "buckets[1] must be int, not float"
    yield ["buckets"], [4, BIG], "buckets[1] must be an integer of at most 64 bits"
    yield ["max_context"], 7, "prefill_chunk 8 must lie in 1..7"
    yield ["max_context"], 8, None
    yield ["max_context"], 65, "has max_context 65, more than the model's 64"
    yield ["max_context"], MILLION + 1, "max_context is 1048577, but must not be more than 1048576"
    yield ["max_context"], 0, "prefill_chunk 8 must lie in 1..0"
    yield ["prefill_chunk"], 0, "prefill_chunk 0 must lie in 1..32"
    yield ["prefill_chunk"], 33, "prefill_chunk 33 must lie in 1..32"
    yield ["prefill_chunk"], 32, None
    for value in ("", "windows", "ONNX", "onnx "):
        yield ["target"], value, f"target '{value}' is none of executorch, coreml, onnx"
    for value in (1, 3, -2, True, "2", None, [2], 2.5):
        yield ["schema_version"], value, "has schema_version "
    yield ["schema_version"], 2.0, "schema_version must be int, not float"


def _tokens_and_sampling() -> Iterator[Check]:
    """Ids and defaults."""
    for name in ("image_pad", "video_pad", "vision_start", "vision_end"):
        yield [*SPECIAL, name], 16, "uses the token id 16, outside its vocabulary of 16"
        yield [*SPECIAL, name], -1, "uses the token id -1, outside its vocabulary of 16"
    yield [*SPECIAL, "im_end"], 16, "uses the token id 16, outside"
    yield [*SPECIAL, "im_end"], None, "has a chat template, but no im_end token"
    yield [*SPECIAL, "eos"], [], "names no token that ends an answer"
    yield [*SPECIAL, "eos"], [14, 99], "uses the token id 99, outside"
    yield [*SPECIAL, "eos"], [0], None
    yield [*SPECIAL, "eos", 1], True, "eos[1] must be int, not bool"
    yield [*SPECIAL, "eos", 0], 1 << 31, ""
    for name, good, bad in (
        ("temperature", (0, 2.5, 1e300), ((-0.5, "temperature must be 0 (greedy) or more, not -0.5"),)),
        ("top_k", (0, 1 << 40), ((-1, "top_k must be 0 (no limit) or more, not -1"),)),
        (
            "top_p",
            (1, 1e-9),
            ((0, "top_p must lie above 0 and not above 1"), (1.001, "not 1.001"), (-1, "top_p")),
        ),
        (
            "repetition_penalty",
            (0.5, 9),
            ((0, "repetition_penalty must be above 0, 1 being none"), (-1.5, "not -1.5")),
        ),
    ):
        for value in good:
            yield [*SAMPLING, name], value, None
        for value, refused in bad:
            yield [*SAMPLING, name], value, refused
    yield [*SAMPLING, "top_k"], BIG, "top_k must be an integer of at most 64 bits"
    yield [*SAMPLING, "temperature"], 10**400, "temperature must be a finite number"


def _lists() -> Iterator[Check]:
    """Layers, files, provenance and shapes."""
    value: Any
    least = "bits, group_size and layers must be at least 1, parameters and bytes at least 0"
    for name, value, refused in (
        ("bits", 0, least), ("group_size", -1, least), ("layers", 0, least), ("parameters", -1, least),
        ("bytes", -1, least), ("group_size", None, None), ("bytes", BIG - 1, None), ("parameters", 0, None),
        ("bits", MILLION + 1, "bits is 1048577, but must not be more than 1048576"),
        ("group_size", MILLION + 1, "group_size is 1048577"), ("layers", MILLION + 1, "layers is 1048577"),
        ("bytes", BIG, "layers[0].bytes must be an integer of at most 64 bits"),
    ):  # fmt: skip
        yield ["layers", 0, name], value, refused
    yield ["layers"], [], None
    for value in ("../a.pte", "a/../../b", "/etc/passwd", "..", "a\\b", "", "a/.."):
        yield ["files", 3, "path"], value, "must stay inside the bundle"
    for value in ("a\u0000b", "a\u007f", "a\u00a0b", "a\u200bb", "a\u2028b", "a\ue000", "a\nb"):
        yield ["files", 3, "path"], value, "holds characters that cannot be printed"
    yield ["files", 3, "path"], "tokenizer.json", "the file tokenizer.json is listed twice"
    yield ["files", 3, "path"], "other.pte", "vision_encoder.pte is used but not listed under files"
    digits = "the sha256 of vision_encoder.pte is not 64 lowercase hexadecimal digits"
    for value in ("A" * 64, "a" * 63, "a" * 65, "", "g" * 64, "a" * 64 + "\n"):
        yield ["files", 3, "sha256"], value, digits
    yield ["files"], [], "vision_encoder.pte is used but not listed under files"
    yield ["provenance", "tools"], {}, None
    yield ["provenance", "tools"], [], "tools must be an object, not list"
    yield ["provenance", "tools"], {"torch": 2}, "tools.torch must be str, not int"
    yield ["provenance", "calibration"], None, None
    yield ["provenance", "calibration_sha256"], None, None
    yield ["provenance", "source_revision"], "abc", None
    yield ["provenance", "source_revision"], 7, "source_revision must be str, not int"
    yield ["entry_points", 2, "inputs", 0, "shape", 0], True, "shape[0] must be int, not bool"
    yield ["entry_points", 2, "inputs", 0, "shape", 0], 1.0, "shape[0] must be int, not float"
    yield ["entry_points", 2, "inputs", 0, "shape", 0], BIG, "shape[0] must be an integer of at most 64 bits"
    yield ["entry_points", 2, "inputs", 0, "shape", 1], None, "shape[1] must be int, not null"


def _written() -> Iterator[Check]:
    """JSON that says a number in another way, or is none."""
    yield ["max_context"], "32.0", "max_context must be int, not float"
    yield ["max_context"], "3.2e1", "max_context must be int, not float"
    yield ["max_context"], "1e999", ""
    yield ["max_context"], "-0", "prefill_chunk 8 must lie in 1..0"
    yield ["max_context"], "9" * 5000, "is not valid JSON"
    yield [*TEXT, "rope_theta"], "1E6", None
    yield [*TEXT, "rope_theta"], "1e-400", None  # zero
    yield [*TEXT, "rope_theta"], "1e999", ""
    yield [*TEXT, "rope_theta"], "NaN", ""
    yield [*TEXT, "rope_theta"], "-Infinity", ""
    yield ["recipe"], '"\\u0069nt4"', None
    yield ["recipe"], '"\\ud83d\\ude00"', None
    for raw in (
        "032", "+32", "32.", ".5", "0x20", "1_000", "tru", "True", "null,", "[1", '"a', "'a'", '"\\x41"',
        '"\\ud800"',
        '"\t"', '"int4" "int8"', '"int4", "recipe": "int8"', "{} {}", "[1,]", '{"a": 1,}', "/**/ 1",
        "\u00a01", "\ufeff1",
    ):  # fmt: skip
        yield ["recipe"], raw, "is not valid JSON"
    yield ["geometry", "vision", "depth"], '1, "depth": 1', "is not valid JSON"


def _together() -> Iterator[Case]:
    """Rules over several values."""
    yield edited([*VISION, "hidden_size"], set=16, refused="need float32 [4, 8]")
    yield edited(
        [*VISION, "output_size"],
        set=4,
        refused="has an embedding table of 16 x 8, but the model needs 16 x 4",
        also=[{"path": [*TEXT, "hidden_size"], "set": 4}],
    )
    yield edited(
        [*TEXT, "mrope_section"], set=[1 << 30, 1 << 30, 2], refused="must sum to half of head_dim 4"
    )
    yield edited([*TEXT, "mrope_section"], set=[(1 << 31) - 1, 4 - (1 << 31), 0], refused="must sum")
