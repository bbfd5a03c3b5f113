"""Names of an ONNX bundle's files, and the JSON files that make it a model folder of transformers.js.

transformers reads those, too.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pocketvl.export.checkpoint import Checkpoint
from pocketvl.export.checkpoint.json_object import read_optional
from pocketvl.export.component import ExportSettings
from pocketvl.export.modules import Linear
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry, SpecialTokens
from pocketvl.runtime.engines.onnx.variants import SUFFIXES
from pocketvl.runtime.errors import ExportError

# What transformers.js calls them; it finds a session's file by its dtype.
DTYPES = {32: "fp32", 16: "fp16", 8: "int8", 4: "q4"}


def graph_name(session: str, layers: Iterable[Linear]) -> str:
    """File of one of transformers.js's graphs, by the bits that most of its weights are to get."""
    weights: Counter[int] = Counter()
    for layer in layers:
        weights[layer.precision.bits] += layer.out_features * layer.in_features
    return name_by_bits(session, weights.most_common(1)[0][0])


def name_by_bits(session: str, bits: int) -> str:
    """File of one of transformers.js's graphs."""
    return f"{session}{SUFFIXES[DTYPES[bits]]}.onnx"


def data_name(graph: str) -> str:
    """Of a graph's data file: the only one that transformers.js can pass to onnxruntime."""
    return f"{graph}_data"


def in_bundle(file: str) -> str:
    """Path of a file of the bundle's ONNX folder, as the manifest writes it."""
    return f"{names.ONNX_FOLDER}/{file}"


def write_folder_files(
    folder: Path, checkpoint: Checkpoint, image: ImageSettings, settings: ExportSettings
) -> None:
    """Write config.json, generation_config.json, tokenizer_config.json and preprocessor_config.json.

    The graphs must stand in folder/onnx already: their names tell their dtypes. image: the limits of the
    export; the largest bucket bounds them here as it does in the runtime. Raises ExportError if a graph is
    missing, CheckpointError for a file of the checkpoint that cannot be read.
    """
    config = model_config(checkpoint.geometry, checkpoint.special_tokens)
    config["transformers.js_config"] = _sessions(folder / names.ONNX_FOLDER)
    _write(folder / names.CONFIG_FILE, config)
    _write(folder / names.GENERATION_CONFIG_FILE, _generation_config(checkpoint))
    _write(folder / names.TOKENIZER_CONFIG_FILE, _tokenizer_config(checkpoint))
    _write(
        folder / names.PREPROCESSOR_CONFIG_FILE,
        _preprocessor_config(checkpoint.geometry, image, settings.buckets[-1]),
    )


def model_config(geometry: ModelGeometry, tokens: SpecialTokens) -> dict[str, Any]:
    """config.json as Qwen publishes it: text sizes on top, where transformers.js looks for them."""
    text = geometry.text
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_key_value_heads": text.num_kv_heads,
        "head_dim": text.head_dim,
        "hidden_act": "silu",
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "use_sliding_window": False,
        "tie_word_embeddings": text.tie_word_embeddings,
        "eos_token_id": tokens.eos[0],
        "image_token_id": tokens.image_pad,
        "video_token_id": tokens.video_pad,
        "vision_start_token_id": tokens.vision_start,
        "vision_end_token_id": tokens.vision_end,
        "vision_config": _vision_config(geometry),
    }


def _vision_config(geometry: ModelGeometry) -> dict[str, Any]:
    vision = geometry.vision
    whole, rest = divmod(vision.intermediate_size, vision.hidden_size)
    return {
        "model_type": "qwen2_vl",
        "depth": vision.depth,
        "embed_dim": vision.hidden_size,
        "hidden_size": vision.output_size,
        "mlp_ratio": whole if not rest else vision.intermediate_size / vision.hidden_size,
        "intermediate_size": vision.intermediate_size,
        "num_heads": vision.num_heads,
        "hidden_act": "quick_gelu",
        "in_channels": vision.in_channels,
        "patch_size": vision.patch_size,
        "spatial_merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
    }


def _sessions(folder: Path) -> dict[str, Any]:
    """dtype and data files of each session; without them transformers.js loads graphs in float32."""
    bits = {session: _bits(folder, session) for session in names.TRANSFORMERS_JS_SESSIONS}
    files = [name_by_bits(session, own) for session, own in bits.items()]
    return {
        "dtype": {session: DTYPES[own] for session, own in bits.items()},
        "use_external_data_format": {file: 1 for file in files if (folder / data_name(file)).exists()},
    }


def _bits(folder: Path, session: str) -> int:
    found = [bits for bits in DTYPES if (folder / name_by_bits(session, bits)).exists()]
    if len(found) != 1:
        raise ExportError(
            f"{folder} holds {len(found)} graphs of {session} instead of one; export the bundle again."
        )
    return found[0]


def _generation_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint's own, with the stop tokens that the bundle uses."""
    given = read_optional(checkpoint.folder / names.GENERATION_CONFIG_FILE).values
    return {**given, "eos_token_id": list(checkpoint.special_tokens.eos)}


def _tokenizer_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint's own with the chat template inside, the only place where transformers.js looks."""
    given = read_optional(checkpoint.folder / names.TOKENIZER_CONFIG_FILE).values
    config = {"tokenizer_class": "Qwen2Tokenizer", **given}
    config.pop("chat_template", None)
    if checkpoint.chat_template is not None:
        config["chat_template"] = checkpoint.chat_template
    return config


def _preprocessor_config(geometry: ModelGeometry, image: ImageSettings, largest: int) -> dict[str, Any]:
    """Every step is named: transformers.js leaves out those that the file does not mention.

    largest: patches of the largest bucket.
    """
    vision = geometry.vision
    high = min(image.max_pixels, largest * vision.patch_size**2)
    return {
        "processor_class": "Qwen2VLProcessor",
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
        "min_pixels": min(image.min_pixels, high),
        "max_pixels": high,
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
    }


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
