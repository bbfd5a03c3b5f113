"""Names, dtypes and shapes of the graphs that the runtime runs; graphs with others are refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry
from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.errors import BundleError

CACHE_PARTS = ("key", "value")

_DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


@dataclass(frozen=True)
class Ports:
    """What goes into a graph and comes out, in the order of its forward.

    A dimension that is a name is dynamic; equal names are equal sizes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def ports_of(entry: str, geometry: ModelGeometry) -> Ports:
    """Those of the host graph for an entry point: vision_encoder, text_decoder or lm_head."""
    vision, text = geometry.vision, geometry.text
    hidden = TensorSpec(names.HIDDEN, "float32", (1, "tokens", text.hidden_size))
    if entry == names.VISION_ENCODER:
        return Ports(
            (
                TensorSpec(names.PATCHES, "float32", ("patches", vision.patch_dim)),
                *_rope("patches", vision.head_dim),
            ),
            (TensorSpec(names.IMAGE_EMBEDDINGS, "float32", ("tokens", vision.output_size)),),
        )
    if entry == names.LM_HEAD:
        return Ports((hidden,), (TensorSpec(names.LOGITS, "float32", (1, "tokens", text.vocab_size)),))
    return Ports(
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


def check_ports(file: str, ports: Ports, session: Any) -> None:
    """Raises BundleError if an opened session takes or gives anything else."""
    for kind, specs, found in (
        ("input", ports.inputs, session.get_inputs()),
        ("output", ports.outputs, session.get_outputs()),
    ):
        try:
            _check(file, kind, specs, {value.name: value for value in found})
        except UnicodeDecodeError:  # onnxruntime decodes names when they are asked for
            raise _unfit(file, f"has an {kind} whose name is no text") from None


def _check(file: str, kind: str, specs: Sequence[TensorSpec], found: dict[str, Any]) -> None:
    if unknown := found.keys() - {spec.name for spec in specs}:
        raise _unfit(file, f"has the {kind} {min(unknown)!r}, unknown to this pocketvl")
    for spec in specs:
        if spec.name not in found:
            raise _unfit(file, f"lacks the {kind} {spec.name!r}")
        value = found[spec.name]
        dtype = _DTYPES.get(value.type, value.type)
        if dtype != spec.dtype or not _fits(spec.shape, value.shape):
            raise _unfit(
                file,
                f"has the {kind} {spec.name!r} as {dtype} {list(value.shape)}, but the manifest's geometry"
                f" needs {spec.dtype} {list(spec.shape)}",
            )


def _fits(shape: Sequence[int | str], found: Sequence[int | str | None]) -> bool:
    """Equal sizes where both are static; a dynamic one must be dynamic in the graph."""
    if len(shape) != len(found):
        return False
    pairs = zip(shape, found, strict=True)
    return all(
        size == given if isinstance(size, int) else not isinstance(given, int) for size, given in pairs
    )


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


def _unfit(file: str, what: str) -> BundleError:
    return BundleError(f"{file} {what}; export the bundle again.")
