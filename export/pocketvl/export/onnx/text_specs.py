"""Names and shapes of what the text graphs take and give."""

from collections.abc import Callable

from pocketvl.runtime import names
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import TensorSpec

Specs = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]  # inputs, outputs


def host_specs(text: TextGeometry) -> Specs:
    """Of HostDecoder."""
    rope = ("tokens", text.head_dim)
    inputs = (
        TensorSpec(names.EMBEDDINGS, "float32", (1, "tokens", text.hidden_size)),
        TensorSpec(names.ROPE_COS, "float32", rope),
        TensorSpec(names.ROPE_SIN, "float32", rope),
        TensorSpec(names.SEQLENS_K, "int32", (1,)),
        TensorSpec(names.TOTAL_SEQUENCE_LENGTH, "int32", ()),
        *_caches(text, names.past_tensor, "past"),
    )
    hidden = TensorSpec(names.HIDDEN, "float32", (1, "tokens", text.hidden_size))
    return inputs, (hidden, *_caches(text, names.present_tensor, "total"))


def head_specs(text: TextGeometry) -> Specs:
    """Of LMHead."""
    inputs = (TensorSpec(names.HIDDEN, "float32", (1, "rows", text.hidden_size)),)
    return inputs, (TensorSpec(names.LOGITS, "float32", (1, "rows", text.vocab_size)),)


def merged_specs(text: TextGeometry) -> Specs:
    """Of MergedDecoder, by the names of transformers.js."""
    inputs = (
        TensorSpec("inputs_embeds", "float32", (1, "tokens", text.hidden_size)),
        TensorSpec("attention_mask", "int64", (1, "total")),
        TensorSpec("position_ids", "int64", (3, 1, "tokens")),
        TensorSpec("num_logits_to_keep", "int64", ()),
        *_caches(text, names.past_tensor, "past"),
    )
    logits = TensorSpec(names.LOGITS, "float32", (1, "kept", text.vocab_size))
    return inputs, (logits, *_caches(text, names.present_tensor, "total"))


def _caches(text: TextGeometry, name: Callable[[int, str], str], slots: str) -> tuple[TensorSpec, ...]:
    shape = (1, text.num_kv_heads, slots, text.head_dim)
    return tuple(
        TensorSpec(name(layer, part), "float32", shape)
        for layer in range(text.num_layers)
        for part in ("key", "value")
    )
