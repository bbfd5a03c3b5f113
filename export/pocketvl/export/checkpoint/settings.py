"""The small files beside config.json: chat template, tokenizer and special tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint.config import ModelConfig, unused_ids
from pocketvl.export.checkpoint.generation import GENERATION_CONFIG
from pocketvl.export.checkpoint.image_files import PREPROCESSOR_CONFIG, PROCESSOR_CONFIG
from pocketvl.export.checkpoint.json_object import JsonObject, read_object, read_optional
from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import read_text

TOKENIZER_FILE = "tokenizer.json"
_TEMPLATE_FILE = "chat_template.jinja"
SETTINGS_FILES = (
    GENERATION_CONFIG,
    PREPROCESSOR_CONFIG,
    PROCESSOR_CONFIG,
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "chat_template.json",
    _TEMPLATE_FILE,
)

_IM_START = "<|im_start|>"
_IM_END = "<|im_end|>"
_ENDOFTEXT = "<|endoftext|>"


def read_chat_template(folder: Path) -> str | None:
    """The text of the template, or None for a model without one. Raises CheckpointError."""
    plain = folder / _TEMPLATE_FILE
    if plain.exists():
        return read_text(plain, CheckpointError) or None
    for file in ("chat_template.json", "tokenizer_config.json"):
        settings = read_optional(folder / file)
        if settings.has("chat_template"):
            return _named_template(settings)
    return None


def template_notes(folder: Path, tokens: Mapping[str, int], template: str | None) -> tuple[str, ...]:
    """Whether a chat model seems to lack its template, or has several that differ."""
    if template is None:
        if _IM_START not in tokens:
            return ()
        return (
            "There is no chat template, so the model is exported as a base model: prompts are completed, not"
            f" answered. If it was trained to chat, put its template into the checkpoint's folder as"
            f" {_TEMPLATE_FILE} and export again.",
        )
    if _IM_END not in template or _IM_END not in tokens:
        return (
            f"The chat template is not used, since no turn of it ends with a token {_IM_END}: the model is"
            " exported as a base model, whose prompts are completed, not answered.",
        )
    for file in ("chat_template.json", "tokenizer_config.json"):
        settings = read_optional(folder / file)
        if settings.has("chat_template") and _named_template(settings) != template:
            return (f"{file} has another chat template than the one that is used.",)
    return ()


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
    """The tokens that tokenizer.json adds to its vocabulary: content -> id.

    known: the ids of all tokens, those of the vocabulary included.
    """

    ids: dict[str, int]
    known: frozenset[int]
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
    return AddedTokens(ids, frozenset(ids.values()) | _vocabulary(tokenizer.child("model")), str(path))


def _vocabulary(model: JsonObject) -> frozenset[int]:
    """The ids of token -> id, as Qwen's tokenizers have them."""
    vocabulary = model.values.get("vocab", {})
    if not isinstance(vocabulary, dict) or any(type(token) is not int for token in vocabulary.values()):
        raise CheckpointError(f"{model.where}: 'vocab' must give each token a whole number.")
    return frozenset(vocabulary.values())


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
    settings = read_optional(folder / GENERATION_CONFIG)
    unused = {*unused_ids(settings), *config.unused_ids}
    for token in (*named.values(), *tokens.eos, *unused, max(added.known), min(added.known)):
        if not 0 <= token < vocabulary:
            raise CheckpointError(
                f"{folder} uses the token id {token}, which lies outside the vocabulary of {vocabulary};"
                f" {TOKENIZER_FILE}, {GENERATION_CONFIG} and config.json must come from the same model."
            )
    for token in tokens.eos:
        if token not in added.known:
            raise CheckpointError(
                f"{folder} ends answers at the token id {token}, which no token of {TOKENIZER_FILE} has;"
                f" {GENERATION_CONFIG}, config.json and the tokenizer must come from the same model."
            )
    return tokens


def turn_notes(tokens: SpecialTokens) -> tuple[str, ...]:
    """Whether answers would run past the end of a turn."""
    if tokens.im_end is None or tokens.im_end in tokens.eos:
        return ()
    return (
        f"The chat template closes a turn with {_IM_END}, at which answers do not end: it is not among the"
        f" eos_token_id {list(tokens.eos)}. Add {tokens.im_end} to {GENERATION_CONFIG} if they run on.",
    )


def _eos(folder: Path, config: ModelConfig, added: AddedTokens) -> tuple[int, ...]:
    settings = read_optional(folder / GENERATION_CONFIG)
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
