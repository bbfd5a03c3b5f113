"""generation_config.json: how answers are drawn, and which of its settings the runtime does not follow."""

from pathlib import Path
from typing import Any

from pocketvl.export.checkpoint.json_object import JsonObject, read_optional
from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.errors import CheckpointError

GENERATION_CONFIG = "generation_config.json"

# Read here or beside the tokenizer.
_READ = {"do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "eos_token_id"}
# Without influence on what is answered: bookkeeping, speed, and beam search's own settings.
_HARMLESS = {
    *("transformers_version", "_from_model_config", "bos_token_id", "pad_token_id", "decoder_start_token_id"),
    *(
        "use_cache",
        "cache_implementation",
        "cache_config",
        "max_cache_len",
        "return_legacy_cache",
        "low_memory",
    ),
    *("compile_config", "disable_compile", "continuous_batching_config", "prefill_chunk_size", "use_mtp"),
    *(
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "output_logits",
        "return_dict_in_generate",
    ),
    *("early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty", "renormalize_logits"),
    *("remove_invalid_values", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule"),
    *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind"),
    *("prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_ensemble_weight", "speculation_type"),
}
# What leaves an answer as it is; for all other keys null, false, 0 and an empty list do.
_NEUTRAL: dict[str, Any] = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "typical_p": 1,
    "encoder_repetition_penalty": 1,
    "guidance_scale": 1,
    "max_length": 20,  # what transformers writes where nothing was chosen
}
_LONGEST_VALUE = 40


def read_sampling(folder: Path) -> SamplingDefaults:
    """Greedy unless the file says do_sample. Raises CheckpointError for values that cannot be meant."""
    settings = read_optional(folder / GENERATION_CONFIG)
    penalty = settings.number("repetition_penalty", 1.0)
    try:
        if not settings.flag("do_sample", False):
            return SamplingDefaults(repetition_penalty=penalty)
        temperature = settings.number("temperature", 1.0)
        if temperature <= 0:
            raise CheckpointError(f"{settings.where}: 'temperature' must be positive, not {temperature}.")
        return SamplingDefaults(
            temperature=temperature,
            top_k=_top_k(settings.integer("top_k", 50)),
            top_p=settings.number("top_p", 1.0),
            repetition_penalty=penalty,
        )
    except ValueError as error:
        raise CheckpointError(f"{settings.where} is not valid: {error}.") from None


def _top_k(value: int) -> int:
    """Some tools write -1 for no limit."""
    return 0 if value == -1 else value


def ignored_settings(folder: Path) -> tuple[str, ...]:
    """One note, or none, about settings that would change answers and that the runtime does not follow."""
    settings = read_optional(folder / GENERATION_CONFIG)
    ignored = [key for key in sorted(settings.values) if _counts(settings, key)]
    if not ignored:
        return ()
    shown = ", ".join(f"{key} = {_shorten(settings.values[key])}" for key in ignored)
    return (
        f"{GENERATION_CONFIG} has settings that pocketvl's runtime does not follow, so answers may differ:"
        f" {shown}.",
    )


def _counts(settings: JsonObject, key: str) -> bool:
    value = settings.values[key]
    return bool(value) and key not in _READ | _HARMLESS and value != _NEUTRAL.get(key)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
