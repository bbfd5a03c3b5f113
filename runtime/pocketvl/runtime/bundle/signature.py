"""Names, dtypes and shapes of the ONNX graphs that a host runs, as they follow from the geometry."""

from collections.abc import Callable
from dataclasses import dataclass

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry
from pocketvl.runtime.bundle.manifest import TensorSpec

CACHE_PARTS = ("key", "value")


@dataclass(frozen=True)
class Signature:
    """What goes into a graph and comes out, in the order of its forward.

    A dimension that is a name is dynamic; equal names are equal sizes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def host_signature(entry: str, geometry: ModelGeometry) -> Signature:
    """Those of the host graph for an entry point: vision_encoder, text_decoder or lm_head."""
    vision, text = geometry.vision, geometry.text
    hidden = TensorSpec(names.HIDDEN, "float32", (1, "tokens", text.hidden_size))
    if entry == names.VISION_ENCODER:
        return Signature(
            (
                TensorSpec(names.PATCHES, "float32", ("patches", vision.patch_dim)),
                *_rope("patches", vision.head_dim),
            ),
            (TensorSpec(names.IMAGE_EMBEDDINGS, "float32", ("tokens", vision.output_size)),),
        )
    if entry == names.LM_HEAD:
        return Signature((hidden,), (TensorSpec(names.LOGITS, "float32", (1, "tokens", text.vocab_size)),))
    return Signature(
        (
            TensorSpec(names.EMBEDDINGS, "float32", (1, "tokens", text.hidden_size)),
            *_rope("tokens", text.head_dim),
            TensorSpec(names.SEQLENS_K, "int32", (1,)),
            TensorSpec(names.TOTAL_SEQUENCE_LENGTH, "int32", ()),
            *past_caches(text),
        ),
        (hidden, *present_caches(text)),
    )


def past_caches(text: TextGeometry) -> tuple[TensorSpec, ...]:
    """Key and value of layer 0, of layer 1 .."""
    return _caches(text, names.past_tensor, "past")


def present_caches(text: TextGeometry) -> tuple[TensorSpec, ...]:
    """Like past_caches, with the new tokens."""
    return _caches(text, names.present_tensor, "total")


def _rope(rows: str, head_dim: int) -> tuple[TensorSpec, TensorSpec]:
    shape = (rows, head_dim)
    return TensorSpec(names.ROPE_COS, "float32", shape), TensorSpec(names.ROPE_SIN, "float32", shape)


def _caches(text: TextGeometry, name: Callable[[int, str], str], slots: str) -> tuple[TensorSpec, ...]:
    shape = (1, text.num_kv_heads, slots, text.head_dim)
    return tuple(
        TensorSpec(name(layer, part), "float32", shape)
        for layer in range(text.num_layers)
        for part in CACHE_PARTS
    )
