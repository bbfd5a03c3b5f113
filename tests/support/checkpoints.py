"""Small random Qwen2-VL checkpoints in every layout that the exporter reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from pocketvl.export.layers import expected_tensors, stored_names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry
from tests.support.tokenizers import token_id, tokenizer_json

Layout = Literal["hub", "transformers5"]
Json = dict[str, Any]

# Every width divides by 32, so that every recipe fits; head counts, widths and depths all differ.
SMALL_GEOMETRY = ModelGeometry(
    vision=VisionGeometry(
        depth=3,
        hidden_size=64,
        intermediate_size=128,
        num_heads=2,
        in_channels=3,
        patch_size=14,
        temporal_patch_size=2,
        spatial_merge_size=2,
        output_size=96,
    ),
    text=TextGeometry(
        num_layers=2,
        hidden_size=96,
        intermediate_size=160,
        num_heads=6,
        num_kv_heads=2,
        head_dim=16,
        vocab_size=384,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
        mrope_section=(2, 3, 3),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    ),
)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part['type'] == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def write_checkpoint(
    folder: Path,
    geometry: ModelGeometry = SMALL_GEOMETRY,
    *,
    layout: Layout = "hub",
    nested: bool | None = None,
    shards: int = 1,
    dtype: torch.dtype = torch.bfloat16,
    tied: bool | None = None,
    chat: bool = True,
    seed: int = 0,
) -> ModelGeometry:
    """Write a checkpoint that pocketvl and transformers both load; returns its geometry.

    layout decides the tensor names; nested (text_config inside config.json) follows it unless given;
    tied overrides the geometry's. chat=False leaves out the chat template, as a base model might.
    """
    if tied is not None:
        geometry = replace(geometry, text=replace(geometry.text, tie_word_embeddings=tied))
    folder.mkdir(parents=True, exist_ok=True)
    nested = layout == "transformers5" if nested is None else nested
    _write_json(folder / "config.json", config_json(geometry, nested=nested))
    _write_json(folder / "generation_config.json", _generation_config())
    _write_json(folder / "preprocessor_config.json", _preprocessor_config(geometry.vision))
    (folder / "tokenizer.json").write_text(tokenizer_json(), encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"})
    if chat:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    tensors = random_tensors(geometry, dtype=dtype, seed=seed)
    index = 0 if layout == "hub" else 1
    write_weights(folder, {stored_names(name)[index]: value for name, value in tensors.items()}, shards)
    return geometry


def random_tensors(
    geometry: ModelGeometry, *, dtype: torch.dtype = torch.bfloat16, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Hub name -> values that keep activations finite and every layer noticeable."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in expected_tensors(geometry).items():
        values = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            # Strong layers over quiet embeddings: a greedy answer then goes on changing instead of repeating.
            gain = 0.8 if name == "model.embed_tokens.weight" else 1.6
            values *= gain / (values[0].numel() ** 0.5)
        elif name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        tensors[name] = values.to(dtype)
    return tensors


def write_weights(folder: Path, tensors: dict[str, torch.Tensor], shards: int = 1) -> None:
    """model.safetensors, or that many shards with their index."""
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(value.nbytes for value in tensors.values())
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def config_json(geometry: ModelGeometry, *, nested: bool) -> Json:
    """config.json: flat as on the hub, or nested as transformers 5 writes it."""
    vision, text = geometry.vision, geometry.text
    config: Json = {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "tie_word_embeddings": text.tie_word_embeddings,
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "vision_config": {
            "model_type": "qwen2_vl_vision" if nested else "qwen2_vl",
            "depth": vision.depth,
            "embed_dim": vision.hidden_size,
            "hidden_size": vision.output_size,
            "hidden_act": "quick_gelu",
            "mlp_ratio": vision.intermediate_size // vision.hidden_size,
            "num_heads": vision.num_heads,
            "in_channels" if nested else "in_chans": vision.in_channels,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
        },
    }
    body: Json = {
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_key_value_heads": text.num_kv_heads,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "rms_norm_eps": text.rms_norm_eps,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "bos_token_id": token_id("<|endoftext|>"),
        "eos_token_id": token_id("<|im_end|>"),
    }
    section = list(text.mrope_section)
    if nested:
        rope = {"rope_type": "default", "rope_theta": text.rope_theta, "mrope_section": section}
        return config | {
            "text_config": body | {"model_type": "qwen2_vl_text", "rope_parameters": rope},
            "dtype": "bfloat16",
        }
    rope = {"type": "mrope", "mrope_section": section}
    return config | body | {"rope_theta": text.rope_theta, "rope_scaling": rope}


def _generation_config() -> Json:
    return {
        "bos_token_id": token_id("<|endoftext|>"),
        "pad_token_id": token_id("<|endoftext|>"),
        "eos_token_id": [token_id("<|im_end|>"), token_id("<|endoftext|>")],
        "do_sample": False,
    }


def _preprocessor_config(vision: VisionGeometry) -> Json:
    return {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
    }


def _write_json(path: Path, value: Json) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
