"""A valid manifest per target, for manifests.py beside this."""

from typing import Any

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
