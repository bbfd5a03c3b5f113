"""Goldens of bundles: a valid manifest for each target, and edits of them that are accepted or refused."""

from collections.abc import Iterator
from typing import Any

from tests.golden.manifest_checks import value_cases
from tests.golden.manifest_edits import BIG, OBJECTS, Case, edited, steps
from tests.golden.manifest_samples import (
    executorch,
    onnx,
    pte_vision,
    spec,
)
from tests.golden.written import Json


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
