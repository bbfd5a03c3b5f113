"""The small files beside config.json: picture limits, sampling, template and special tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvl.export.checkpoint.config import ModelConfig
from pocketvl.export.checkpoint.json_object import JsonObject, read_object, read_optional
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import read_text
from pocketvl.runtime.geometry import (
    ImageSettings,
    SamplingDefaults,
    SpecialTokens,
    VisionGeometry,
)

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = (
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "chat_template.json",
    "chat_template.jinja",
)

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_MIN_PIXELS = 56 * 56
_MAX_PIXELS = 28 * 28 * 16384
_IM_END = "<|im_end|>"
_ENDOFTEXT = "<|endoftext|>"


def read_image_settings(folder: Path, vision: VisionGeometry) -> ImageSettings:
    """preprocessor_config.json, or the same inside a newer processor_config.json; the family's values
    where a key is missing. Raises CheckpointError for a preparation that the runtime does not do."""
    settings = read_optional(folder / "preprocessor_config.json")
    if not settings.values:
        settings = read_optional(folder / "processor_config.json").child("image_processor")
    _check_preparation(settings, vision)
    size = settings.child("size")
    # min_pixels and max_pixels win over size, as in transformers.
    low = size.integer("shortest_edge", size.integer("min_pixels", _MIN_PIXELS))
    high = size.integer("longest_edge", size.integer("max_pixels", _MAX_PIXELS))
    try:
        return ImageSettings(
            min_pixels=settings.integer("min_pixels", low),
            max_pixels=settings.integer("max_pixels", high),
            mean=settings.triple("image_mean", _MEAN),
            std=settings.triple("image_std", _STD),
        )
    except ValueError as error:
        raise CheckpointError(f"{settings.where} is not valid: {error}.") from None


def _check_preparation(settings: JsonObject, vision: VisionGeometry) -> None:
    wanted: dict[str, Any] = {
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
        "resample": 3,  # bicubic
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
    }
    for key, value in wanted.items():
        if settings.has(key) and settings.values[key] != value:
            raise CheckpointError(
                f"{settings.where}: {key!r} is {settings.values[key]!r}, but this model's pictures are"
                f" prepared with {value!r}."
            )
    if abs(settings.number("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise CheckpointError(f"{settings.where}: 'rescale_factor' must be 1/255.")


def read_sampling(folder: Path) -> SamplingDefaults:
    """generation_config.json; greedy unless it says do_sample. Raises CheckpointError."""
    settings = read_optional(folder / "generation_config.json")
    penalty = settings.number("repetition_penalty", 1.0)
    if not settings.flag("do_sample", False):
        return SamplingDefaults(repetition_penalty=_positive(settings, "repetition_penalty", penalty))
    top_p = settings.number("top_p", 1.0)
    if not 0 < top_p <= 1:
        raise CheckpointError(f"{settings.where}: 'top_p' must lie in (0, 1], not {top_p}.")
    return SamplingDefaults(
        temperature=_positive(settings, "temperature", settings.number("temperature", 1.0)),
        top_k=max(0, settings.integer("top_k", 50)),
        top_p=top_p,
        repetition_penalty=_positive(settings, "repetition_penalty", penalty),
    )


def read_chat_template(folder: Path) -> str | None:
    """The text of the template, or None for a model without one. Raises CheckpointError."""
    plain = folder / "chat_template.jinja"
    if plain.exists():
        return read_text(plain, CheckpointError) or None
    for file in ("chat_template.json", "tokenizer_config.json"):
        settings = read_optional(folder / file)
        if settings.has("chat_template"):
            return _named_template(settings)
    return None


def _named_template(settings: JsonObject) -> str | None:
    """A template stands as a string or as a list of {name, template}, of which "default" is the chat's."""
    value = settings.values["chat_template"]
    if not isinstance(value, list):
        return settings.text("chat_template") or None
    for item in value:
        if isinstance(item, dict) and item.get("name") == "default" and isinstance(item.get("template"), str):
            return str(item["template"]) or None
    raise CheckpointError(f"{settings.where}: the list 'chat_template' has no entry named 'default'.")


@dataclass(frozen=True)
class AddedTokens:
    """The tokens that tokenizer.json adds to its vocabulary: content -> id."""

    ids: dict[str, int]
    where: str


def read_added_tokens(folder: Path) -> AddedTokens:
    """Raises CheckpointError if tokenizer.json is missing or is not a tokenizer's."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no {TOKENIZER_FILE}, which apps need. Copy it from the original Qwen2-VL"
            " checkpoint, or save the tokenizer with transformers' save_pretrained."
        )
    tokenizer = read_object(path)
    added = tokenizer.values.get("added_tokens")
    if not isinstance(added, list) or not isinstance(tokenizer.values.get("model"), dict):
        raise CheckpointError(f"{path} is not a tokenizer of the tokenizers library.")
    ids = {}
    for item in added:
        token = JsonObject(item if isinstance(item, dict) else {}, f"{path}, added_tokens")
        ids[token.text("content")] = token.integer("id")
    return AddedTokens(ids, str(path))


def special_tokens(
    folder: Path, config: ModelConfig, added: AddedTokens, template: str | None
) -> SpecialTokens:
    """The ids that have a meaning, checked against the tokenizer and the vocabulary.

    im_end is None where there is no template or the template closes no turn. Raises CheckpointError.
    """
    tokens = SpecialTokens(
        image_pad=config.image_pad,
        video_pad=config.video_pad,
        vision_start=config.vision_start,
        vision_end=config.vision_end,
        eos=_eos(folder, config, added),
        im_end=added.ids.get(_IM_END) if template and _IM_END in template else None,
    )
    named = {
        "<|image_pad|>": tokens.image_pad,
        "<|video_pad|>": tokens.video_pad,
        "<|vision_start|>": tokens.vision_start,
        "<|vision_end|>": tokens.vision_end,
    }
    for content, used in named.items():
        if added.ids.get(content) != used:
            raise CheckpointError(
                f"config.json uses {used} as {content}, but in {added.where} that token has the id"
                f" {added.ids.get(content)}; the two files must come from the same model."
            )
    vocabulary = config.geometry.text.vocab_size
    for token in (*named.values(), *tokens.eos, *added.ids.values()):
        if not 0 <= token < vocabulary:
            raise CheckpointError(
                f"{folder} uses the token id {token}, which lies outside the vocabulary of {vocabulary};"
                f" {TOKENIZER_FILE}, generation_config.json and config.json must come from the same model."
            )
    return tokens


def _eos(folder: Path, config: ModelConfig, added: AddedTokens) -> tuple[int, ...]:
    settings = read_optional(folder / "generation_config.json")
    if settings.has("eos_token_id"):
        return settings.integers("eos_token_id")
    if config.eos is not None:
        return config.eos
    found = tuple(added.ids[token] for token in (_IM_END, _ENDOFTEXT) if token in added.ids)
    if not found:
        raise CheckpointError(
            f"{settings.where} names no eos_token_id, nor does config.json, so no answer would ever end."
        )
    return found


def _positive(settings: JsonObject, key: str, value: float) -> float:
    if value <= 0:
        raise CheckpointError(f"{settings.where}: {key!r} must be positive, not {value}.")
    return value
