"""config.json: the geometry and the token ids, in the layouts of the hub and of transformers 5."""

from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint.json_object import JsonObject, read_object
from pocketvl.export.checkpoint.quantization import read_quantization
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry
from pocketvl.runtime.bundle.limits import check_geometry_limits
from pocketvl.runtime.errors import CheckpointError

CONFIG_FILE = "config.json"

_MODEL_TYPE = "qwen2_vl"
_RELATIVES = {
    "qwen2_5_vl": "Qwen2.5-VL (window attention, RMSNorm and SwiGLU in its vision tower)",
    "qwen2_5_omni": "Qwen2.5-Omni",
    "qwen3_vl": "Qwen3-VL (another vision tower, interleaved M-RoPE)",
    "qwen3_vl_moe": "Qwen3-VL-MoE",
    "qwen2": "Qwen2, which reads text only",
}
_ARCHITECTURE = "Qwen2VLForConditionalGeneration"
_VISION_THETA = 10_000  # of the vision tower's rotary embedding, which the runtime computes
# What a flat config and its text_config may both say, as some versions of transformers wrote them.
_TEXT_KEYS = (
    *("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act"),
)


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says. Token ids are the family's own where the file leaves them out.

    unused_ids: beginning and padding tokens, which no bundle uses but which tell of another tokenizer.
    """

    geometry: ModelGeometry
    image_pad: int
    video_pad: int
    vision_start: int
    vision_end: int
    eos: tuple[int, ...] | None
    unused_ids: tuple[int, ...]


def read_config(folder: Path, *, has_lm_head: bool) -> ModelConfig:
    """Read and check config.json.

    has_lm_head: whether the weights hold an lm_head, which decides if the file does not say that the
    embeddings are tied. Raises CheckpointError for another kind of model, one in a quantization that is not
    supported, and for values that no Qwen2-VL can have.
    """
    config = check_model_type(folder)
    text = config.child("text_config") if config.has("text_config") else config
    vision = config.child("vision_config")
    _refuse_variants(text, vision)
    _refuse_contradictions(config, text)
    try:
        geometry = ModelGeometry(
            vision=_vision(vision),
            text=_text(text, _says_tied(config, text, default=not has_lm_head)),
        )
        check_geometry_limits(geometry)
    except ValueError as error:
        raise CheckpointError(f"{config.where} is not valid: {error}.") from None
    return ModelConfig(
        geometry=geometry,
        image_pad=config.integer("image_token_id", 151655),
        video_pad=config.integer("video_token_id", 151656),
        vision_start=config.integer("vision_start_token_id", 151652),
        vision_end=config.integer("vision_end_token_id", 151653),
        eos=text.integers("eos_token_id") if text.has("eos_token_id") else None,
        unused_ids=unused_ids(text),
    )


def unused_ids(settings: JsonObject) -> tuple[int, ...]:
    """Of the tokens that begin and pad a text; -1 is none. Raises CheckpointError."""
    given = [settings.integer(key) for key in ("bos_token_id", "pad_token_id") if settings.has(key)]
    return tuple(token for token in given if token != -1)


def _says_tied(config: JsonObject, text: JsonObject, *, default: bool) -> bool:
    """Either place may say so, as in transformers."""
    said = [
        owner.flag("tie_word_embeddings", False)
        for owner in (config, text)
        if owner.has("tie_word_embeddings")
    ]
    return any(said) if said else default


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
    architectures = config.values.get("architectures") or [_ARCHITECTURE]
    if architectures != [_ARCHITECTURE]:
        raise CheckpointError(
            f"{config.where}: 'architectures' is {architectures!r}; pocketvl exports {_ARCHITECTURE} only,"
            " which answers in text. Correct the entry if the model is one."
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
    kinds = text.values.get("layer_types") or ["full_attention"]
    if text.flag("use_sliding_window", False) or set(map(str, kinds)) != {"full_attention"}:
        raise CheckpointError(f"{text.where}: sliding-window attention is not supported.")
    theta = vision.child("rope_parameters").number("rope_theta", _VISION_THETA)
    if theta != _VISION_THETA:
        raise CheckpointError(
            f"{vision.where}: 'rope_theta' is {theta:g}; pocketvl exports {_VISION_THETA} only."
        )


def _refuse_contradictions(config: JsonObject, text: JsonObject) -> None:
    for key in _TEXT_KEYS:
        if (
            text is not config
            and text.has(key)
            and config.has(key)
            and text.values[key] != config.values[key]
        ):
            raise CheckpointError(
                f"{config.where}: {key!r} is {config.values[key]!r} at the top, but {text.values[key]!r} in"
                " text_config; remove the wrong one."
            )


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
    head_dim = hidden_size // heads
    if text.integer("head_dim", head_dim) != head_dim:
        raise ValueError(f"head_dim {text.integer('head_dim')} is not hidden_size / heads, {head_dim}")
    kv_heads = heads if text.values.get("num_key_value_heads", 8) is None else 8
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
        num_kv_heads=text.integer("num_key_value_heads", kv_heads),
        head_dim=head_dim,
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
