"""Goldens of bundles: a valid manifest for each target, and edits of them that are accepted or refused."""

from collections.abc import Iterator
from typing import Any

from tests.golden.manifest_checks import BIG, OBJECTS, Case, edited, steps, value_cases
from tests.golden.written import Json

VISION = {
    "depth": 1, "hidden_size": 8, "intermediate_size": 16, "num_heads": 2, "in_channels": 3, "patch_size": 2,
    "temporal_patch_size": 2, "spatial_merge_size": 2, "output_size": 8, "layer_norm_eps": 1e-6,
}  # fmt: skip
TEXT = {
    "num_layers": 2, "hidden_size": 8, "intermediate_size": 16, "num_heads": 2, "num_kv_heads": 1,
    "head_dim": 4,
    "vocab_size": 16, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "mrope_section": [1, 1, 0],
    "max_position_embeddings": 64, "tie_word_embeddings": True,
}  # fmt: skip


def manifests() -> Json:
    """By hand and by rule: what every reader must say of them."""
    return {
        "about": "bundles: valid manifests of tiny models, whose files have the sizes listed. A case is"
        " one of"
        " them with edits: at a path, a value is set or inserted (`set`), removed, or written as it stands in"
        " `raw`. refused: a part of the sentence, null where the bundle opens. Hashes are not compared.",
        "bundles": {"executorch": executorch(), "onnx": onnx()},
        "cases": [case._asdict() for case in (*value_cases(executorch()), *_structure(), *_contents())],
    }


def spec(name: str, *shape: int | str, dtype: str = "float32") -> Json:
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def entry(
    name: str, file: str, method: str, inputs: list[Json], outputs: list[Json], patches: Any = None
) -> Json:
    return {
        "name": name, "file": file, "method": method, "patches": patches, "inputs": inputs,
        "outputs": outputs,
    }  # fmt: skip


def rope(rows: int | str) -> list[Json]:
    return [spec("rope_cos", rows, 4), spec("rope_sin", rows, 4)]


def pte_vision(patches: int | None) -> Json:
    rows, tokens = ("patches", "tokens") if patches is None else (patches, patches // 4)
    inputs = [spec("patches", rows, 24), *rope(rows)]
    if patches is not None:
        inputs.append(spec("key_mask", patches))
    method = "vision_encoder" if patches is None else f"vision_encoder_{patches}"
    outputs = [spec("image_embeddings", tokens, 8)]
    return entry("vision_encoder", "vision_encoder.pte", method, inputs, outputs, patches)


def record(path: str, size: int) -> Json:
    return {"path": path, "size": size, "sha256": f"{len(path):02x}" * 32}


def executorch() -> Json:
    decoder = [spec("embeddings", 1, "tokens", 8), *rope("tokens"), spec("cache_position", 1, dtype="int64")]
    return {
        "schema_version": 2,
        "target": "executorch",
        "recipe": "int4",
        "quantization_method": "rtn",
        "geometry": {"vision": dict(VISION), "text": dict(TEXT)},
        "special_tokens": {
            "image_pad": 10, "video_pad": 11, "vision_start": 12, "vision_end": 13, "eos": [14, 15],
            "im_end": 14,
        },
        "image": {"min_pixels": 16, "max_pixels": 4096, "mean": [0.5, 0.4, 0.25], "std": [0.25, 0.5, 1]},
        "buckets": [4, 16],
        "max_context": 32,
        "prefill_chunk": 8,
        "chat": True,
        "sampling": {"temperature": 0.5, "top_k": 40, "top_p": 0.75, "repetition_penalty": 1.05},
        "entry_points": [
            pte_vision(4),
            pte_vision(16),
            entry("text_decoder", "text_decoder.pte", "text_decoder", decoder, [spec("hidden", 1, "tokens",
            8)]),
            entry(
                "lm_head", "text_decoder.pte", "lm_head", [spec("hidden", 1, "rows", 8)],
                [spec("logits", 1, "rows", 16)],
            ),
        ],
        "token_embedding": {
            "file": "text_decoder.pte", "rows": 16, "columns": 8, "storage": "int4", "data_offset": 10,
            "scales_offset": 80, "scales_dtype": "bfloat16", "group_size": 4,
        },
        "layers": [
            {"component": "text_decoder", "bits": 4, "group_size": 4, "layers": 14, "parameters": 900,
            "bytes": 500},
            {"component": "vision_encoder", "bits": 8, "group_size": None, "layers": 6, "parameters": 9,
            "bytes": 9},
        ],
        "files": [
            record("chat_template.jinja", 12), record("text_decoder.pte", 150), record("tokenizer.json", 20),
            record("vision_encoder.pte", 30),
        ],
        "optional_files": [],
        "provenance": {
            "source": "tiny", "source_sha256": "0" * 64, "calibration": "8 samples",
            "calibration_sha256": "1" * 64,
            "pocketvl": "1.0", "tools": {"torch": "2.9"}, "command": "pocketvl export",
            "source_revision": None,
        },
    }  # fmt: skip


def onnx() -> Json:
    def caches(kind: str, slots: str) -> list[Json]:
        return [
            spec(f"{kind}.{layer}.{part}", 1, 1, slots, 4) for layer in (0, 1) for part in ("key", "value")
        ]

    hidden = spec("hidden", 1, "tokens", 8)
    vision = [spec("patches", "patches", 24), *rope("patches")]
    decoder = [
        spec("embeddings", 1, "tokens", 8), *rope("tokens"), spec("seqlens_k", 1, dtype="int32"),
        spec("total_sequence_length", dtype="int32"), *caches("past_key_values", "past"),
    ]  # fmt: skip
    graphs = {
        "vision_encoder": (vision, [spec("image_embeddings", "tokens", 8)]),
        "text_decoder": (decoder, [hidden, *caches("present", "total")]),
        "lm_head": ([hidden], [spec("logits", 1, "tokens", 16)]),
    }
    special = executorch()["special_tokens"] | {"im_end": None}
    return executorch() | {
        "target": "onnx",
        "special_tokens": special,
        "chat": False,
        "entry_points": [
            entry(name, f"onnx/host_{name}.onnx", "main", *tensors) for name, tensors in graphs.items()
        ],
        "token_embedding": {
            "file": "onnx/embed_tokens.onnx_data", "rows": 16, "columns": 8, "storage": "float16",
            "data_offset": 0,
            "scales_offset": None, "scales_dtype": None, "group_size": None,
        },
        "files": [
            record("onnx/embed_tokens.onnx_data", 256), record("onnx/host_lm_head.onnx", 8),
            record("onnx/host_text_decoder.onnx", 9), record("onnx/host_vision_encoder.onnx", 10),
            record("tokenizer.json", 20),
        ],
        "optional_files": [record("config.json", 5)],
    }  # fmt: skip


def _structure() -> Iterator[Case]:
    """Keys and types, place by place, by rule."""
    for owner, keys in OBJECTS.items():
        path = steps(owner)
        for key in keys.split():
            refused: str | None = f"lacks the key '{key}'"
            if key == "schema_version":
                refused = "has schema_version "
            elif key == "source_revision":
                refused = None
            yield edited([*path, key], remove=True, refused=refused)
        yield edited([*path, "surprise"], set=1, refused="has the unknown key 'surprise'; known are ")
        if path:
            for value, kind in ((BIG, "int"), (None, "null"), ([], "list")):
                yield edited(path, set=value, refused=f"must be an object, not {kind}")


def _contents() -> Iterator[Case]:
    """What fits together, for both targets."""
    value: Any
    refused: str | None

    def case(
        path: list[Any], value: Any, refused: str | None, bundle: str = "executorch", **more: Any
    ) -> Case:
        return edited(path, set=value, refused=refused, bundle=bundle, **more)

    one = executorch()
    dynamic = [pte_vision(None), *one["entry_points"][2:]]
    yield case(["entry_points"], dynamic, None)
    yield case(["entry_points"], dynamic[:1] + dynamic[2:] + dynamic[1:2], "has the entry point 'lm_head'")
    yield case(["entry_points"], one["entry_points"][1:], "has the entry point 'vision_encoder_16' (")
    yield case(["entry_points"], [*dynamic, dynamic[0]], "has the entry point 'vision_encoder' (")
    yield case(["entry_points"], one["entry_points"][:3], "the entry point lm_head is missing")
    yield case(["entry_points"], [], "the entry point vision_encoder is missing")
    yield case(
        ["entry_points"],
        [*one["entry_points"], one["entry_points"][3]],
        "which its target and settings do not",
    )
    yield case(["buckets"], [4, 16, 64], "has the entry point 'text_decoder' (")
    yield case(["buckets"], [4], "has the entry point 'vision_encoder_16' (")
    for place, key, value, refused in (
        (0, "patches", 16, "the patches 16, but it needs 4"),
        (0, "patches", None, "has the entry point 'vision_encoder_4' ("),
        (1, "patches", None, "has the entry point 'vision_encoder_4' ("),
        (2, "patches", 4, "the patches 4, but it needs "),
        (
            0,
            "name",
            "vision",
            "has the entry point 'vision_encoder_4' ('vision' in 'vision_encoder.pte') where",
        ),
        (2, "name", "decoder", "the entry point text_decoder is missing"),
        (2, "method", "decode", "has the entry point 'decode' ("),
        (2, "method", "", "has the entry point '' ("),
        (2, "file", "vision_encoder.pte", "('text_decoder' in 'vision_encoder.pte') where"),
        (2, "file", "other.pte", "other.pte is used but not listed under files"),
        (2, "inputs", [], "gives the entry point 'text_decoder' the inputs [], but it needs ['embeddings',"),
        (3, "outputs", [], "gives the entry point 'lm_head' the outputs [], but it needs ['logits']"),
        (3, "inputs", [spec("states", 1, "rows", 8)], "the inputs ['states'], but it needs ['hidden']"),
    ):
        yield case(["entry_points", place, key], value, refused)
    for place, kind, tensor, key, value, refused in (
        (
            0,
            "inputs",
            0,
            "shape",
            [4, 23],
            "as float32 [4, 23], but its geometry and settings need float32 [4, 24]",
        ),
        (
            0,
            "inputs",
            1,
            "dtype",
            "float16",
            "has the input 'rope_cos' of the entry point 'vision_encoder_4' as float16",
        ),
        (0, "inputs", 3, "shape", ["patches"], "as float32 ['patches'], but its geometry"),
        (
            0,
            "outputs",
            0,
            "shape",
            [2, 8],
            "has the output 'image_embeddings' of the entry point 'vision_encoder_4'",
        ),
        (2, "inputs", 3, "dtype", "int32", "as int32 [1], but its geometry and settings need int64 [1]"),
        (2, "inputs", 3, "dtype", "", "as '' [1]"),
        (2, "inputs", 0, "shape", [1, 8, 8], "as float32 [1, 8, 8], but its geometry"),
        (2, "inputs", 0, "shape", [1, "tokens"], "as float32 [1, 'tokens'], but its geometry"),
        (2, "outputs", 0, "shape", [1, "rows", 8], "need float32 [1, 'tokens', 8]"),
        (3, "outputs", 0, "shape", [1, "rows", 17], "need float32 [1, 'rows', 16]"),
        (3, "outputs", 0, "shape", [], "as float32 []"),
        (3, "outputs", 0, "name", "logit", "the outputs ['logit'], but it needs ['logits']"),
    ):
        yield case(["entry_points", place, kind, tensor, key], value, refused)
    two = onnx()
    for path, value, refused in (
        (
            ["entry_points", 1, "inputs", 5, "shape", 2],
            "slots",
            "'past_key_values.0.key' of the entry point 'main'",
        ),
        (
            ["entry_points", 1, "inputs", 4, "shape"],
            [1],
            "'total_sequence_length' of the entry point 'main' as int32 [1]",
        ),
        (
            ["entry_points", 1, "inputs", 3, "dtype"],
            "int64",
            "as int64 [1], but its geometry and settings need int32 [1]",
        ),
        (["entry_points", 1, "outputs", 4, "shape", 3], 5, "'present.1.value' of the entry point 'main'"),
        (
            ["entry_points", 1, "outputs"],
            two["entry_points"][1]["outputs"][:-1],
            "the outputs ['hidden', 'present.0.key'",
        ),
        (
            ["entry_points", 0, "file"],
            "onnx/host_lm_head.onnx",
            "where 'main' ('vision_encoder' in 'onnx/host_vision",
        ),
        (["entry_points", 0, "file"], "onnx", "('vision_encoder' in 'onnx') where"),
        (["entry_points", 0, "patches"], 4, "gives the entry point 'main' the patches 4"),
        (["entry_points"], two["entry_points"][::-1], "has the entry point 'main' ('lm_head' in"),
        (["entry_points", 2, "outputs", 0, "shape", 1], "rows", "need float32 [1, 'tokens', 16]"),
        (
            ["geometry", "text", "num_layers"],
            1,
            "gives the entry point 'main' the inputs ['embeddings', 'rope_cos',",
        ),
        (["token_embedding", "file"], "onnx", "has its embedding table in onnx, which is no file of it"),
        (["token_embedding", "file"], "config.json", "config.json is used but not listed under files"),
        (
            ["token_embedding", "data_offset"],
            1,
            "ends its embedding table at byte 257 of onnx/embed_tokens.onnx_data",
        ),
        (["token_embedding", "storage"], "float32", "ends its embedding table at byte 512 of"),
        (
            ["token_embedding", "storage"],
            "int8",
            "an integer table needs scales_offset, scales_dtype and group_size",
        ),
        (["token_embedding", "scales_offset"], 0, "a float table has no scales"),
        (["token_embedding", "group_size"], 8, "a float table has no scales"),
        (["optional_files", 0, "path"], "tokenizer.json", "the file tokenizer.json is listed twice"),
        (["optional_files", 0, "size"], 6, None),  # it may be left out, and is not looked at
        (["optional_files"], [], None),
        (["chat"], True, "lists no chat_template.jinja"),
        (["target"], "executorch", "has the entry point 'main' ("),
    ):
        yield case(path, value, refused, "onnx")
    yield case(["target"], "onnx", "has the entry point 'vision_encoder_4' (")
    yield case(["files", 2, "path"], "vocabulary.json", "vocabulary.json is missing")
    yield edited(["files", 2], remove=True, refused="lists no tokenizer.json")
    yield edited(["files", 0], remove=True, refused="lists no chat_template.jinja")
    yield edited(["files", 0], remove=True, refused=None, also=[{"path": ["chat"], "set": False}])
    yield edited(["files", 1], remove=True, refused="text_decoder.pte is used but not listed under files")
    yield case(["files", 3, "size"], 31, "vision_encoder.pte has 30 bytes, but the manifest says 31")
    yield case(["files", 3, "size"], -1, "vision_encoder.pte has 30 bytes, but the manifest says -1")
