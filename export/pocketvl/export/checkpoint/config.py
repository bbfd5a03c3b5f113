"""config.json: the geometry and the token ids, in the layouts of the hub and of transformers 5."""

from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint.json_object import JsonObject, read_object
from pocketvl.export.checkpoint.quantization import read_quantization
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.geometry import ModelGeometry, TextGeometry, VisionGeometry

CONFIG_FILE = "config.json"

_MODEL_TYPE = "qwen2_vl"
_RELATIVES = {
    "qwen2_5_vl": "Qwen2.5-VL (window attention, RMSNorm and SwiGLU in its vision tower)",
    "qwen2_5_omni": "Qwen2.5-Omni",
    "qwen3_vl": "Qwen3-VL (another vision tower, interleaved M-RoPE)",
    "qwen3_vl_moe": "Qwen3-VL-MoE",
    "qwen2": "Qwen2, which reads text only",
}


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says. Token ids are the family's own where the file leaves them out."""

    geometry: ModelGeometry
    image_pad: int
    video_pad: int
    vision_start: int
    vision_end: int
    eos: tuple[int, ...] | None


def read_config(folder: Path, *, has_lm_head: bool) -> ModelConfig:
    """Read and check config.json.

    has_lm_head: whether the weights hold `lm_head.weight`, which decides if the file does not say
    that the embeddings are tied. Raises CheckpointError for another kind of model, one in a
    quantization that is not supported, and for values that no Qwen2-VL can have.
    """
    config = check_model_type(folder)
    text = config.child("text_config") if config.has("text_config") else config
    vision = config.child("vision_config")
    _refuse_variants(text, vision)
    tied = text if text.has("tie_word_embeddings") and not config.has("tie_word_embeddings") else config
    try:
        geometry = ModelGeometry(
            vision=_vision(vision),
            text=_text(text, tied.flag("tie_word_embeddings", not has_lm_head)),
        )
    except ValueError as error:
        raise CheckpointError(f"{config.where} is not valid: {error}.") from None
    return ModelConfig(
        geometry=geometry,
        image_pad=config.integer("image_token_id", 151655),
        video_pad=config.integer("video_token_id", 151656),
        vision_start=config.integer("vision_start_token_id", 151652),
        vision_end=config.integer("vision_end_token_id", 151653),
        eos=text.integers("eos_token_id") if text.has("eos_token_id") else None,
    )


def check_model_type(folder: Path) -> JsonObject:
    """config.json of a Qwen2-VL whose weights can be read. Raises CheckpointError for anything else."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no {CONFIG_FILE}, so it is not a checkpoint in Hugging Face form."
        )
    config = read_object(path)
    model_type = config.text("model_type", "")
    if model_type in _RELATIVES:
        raise CheckpointError(
            f"{config.where} describes {_RELATIVES[model_type]}: another architecture, which pocketvl does"
            " not export. Give it a Qwen2-VL checkpoint."
        )
    if model_type != _MODEL_TYPE:
        raise CheckpointError(
            f"{config.where} has model_type {model_type!r}; pocketvl exports {_MODEL_TYPE!r} only."
        )
    read_quantization(config)
    return config


def _refuse_variants(text: JsonObject, vision: JsonObject) -> None:
    """Refuse options of the config class that no released Qwen2-VL uses and no graph here implements."""
    for owner, key, wanted in ((text, "hidden_act", "silu"), (vision, "hidden_act", "quick_gelu")):
        if owner.text(key, wanted) != wanted:
            raise CheckpointError(
                f"{owner.where}: {key!r} is {owner.text(key)!r}; pocketvl exports {wanted!r} only."
            )
    if text.flag("use_sliding_window", False):
        raise CheckpointError(f"{text.where}: sliding-window attention is not supported.")


def _vision(vision: JsonObject) -> VisionGeometry:
    # transformers leaves out what equals the defaults of its config class, so they are repeated here.
    # Its class knows in_channels; the hub's files say in_chans.
    hidden_size = vision.integer("embed_dim", 1280)
    ratio = vision.number("mlp_ratio", 4)
    if not 0 < ratio <= 1000:
        raise ValueError(f"mlp_ratio {ratio} is impossible")
    channels = vision.integer("in_chans", 3)
    return VisionGeometry(
        depth=vision.integer("depth", 32),
        hidden_size=hidden_size,
        intermediate_size=vision.integer("intermediate_size", int(hidden_size * ratio)),
        num_heads=vision.integer("num_heads", 16),
        in_channels=vision.integer("in_channels", channels),
        patch_size=vision.integer("patch_size", 14),
        temporal_patch_size=vision.integer("temporal_patch_size", 2),
        spatial_merge_size=vision.integer("spatial_merge_size", 2),
        output_size=vision.integer("hidden_size", 3584),
    )


def _text(text: JsonObject, tied: bool) -> TextGeometry:
    hidden_size = text.integer("hidden_size", 8192)
    heads = text.integer("num_attention_heads", 64)
    if heads < 1 or hidden_size % heads:
        raise ValueError(f"hidden_size {hidden_size} does not divide into {heads} heads")
    rope = text.child("rope_parameters" if text.has("rope_parameters") else "rope_scaling")
    theta = text.number("rope_theta", 1e6)
    epsilon = text.number("rms_norm_eps", 1e-5)
    if min(theta, epsilon) <= 0:
        raise ValueError("rope_theta and rms_norm_eps must be positive")
    return TextGeometry(
        num_layers=text.integer("num_hidden_layers", 80),
        hidden_size=hidden_size,
        intermediate_size=text.integer("intermediate_size", 29568),
        num_heads=heads,
        num_kv_heads=text.integer("num_key_value_heads", 8),
        head_dim=text.integer("head_dim", hidden_size // heads),
        vocab_size=text.integer("vocab_size", 152064),
        rope_theta=rope.number("rope_theta", theta),
        rms_norm_eps=epsilon,
        mrope_section=_mrope_section(rope),
        max_position_embeddings=text.integer("max_position_embeddings", 32768),
        tie_word_embeddings=tied,
    )


def _mrope_section(rope: JsonObject) -> tuple[int, int, int]:
    if not rope.has("mrope_section"):
        raise CheckpointError(
            f"{rope.where} lacks mrope_section, so the model does not use the M-RoPE of Qwen2-VL."
        )
    # The type says "mrope" on the hub and "default" once transformers has saved the file.
    kind = rope.text("rope_type", rope.text("type", "mrope"))
    if kind not in ("mrope", "default"):
        raise CheckpointError(
            f"{rope.where}: rope scaling of type {kind!r} is not supported. Remove it from the config to"
            " export the model with its plain context length."
        )
    section = rope.integers("mrope_section")
    if len(section) != 3 or min(section) < 1:
        raise CheckpointError(
            f"{rope.where}: mrope_section must be three positive numbers, not {list(section)}."
        )
    return section
