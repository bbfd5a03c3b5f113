"""What every engine refuses, before native code sees it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engine import Float32
from pocketvl.runtime.errors import BundleError, EngineError

MAX_THREADS = 256  # native pools take any number, and a process without the memory for them dies silently


def check_target(bundle: Bundle, target: str) -> None:
    """For an engine that runs bundles of one target. Raises BundleError."""
    if bundle.manifest.target != target:
        raise BundleError(f"{bundle.folder} is a bundle for {bundle.manifest.target}, not for {target}.")


def check_threads(threads: int | None) -> None:
    """For an engine's pool; None is the engine's own choice. Raises EngineError."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise EngineError(f"{threads} threads were asked for; give 1..{MAX_THREADS}, one a core is best.")


def check_image_inputs(manifest: Manifest, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> None:
    """For VisionEngine.encode. Raises EngineError."""
    vision, count, largest = manifest.geometry.vision, len(patches), manifest.buckets[-1]
    if count < 1 or count % vision.merge_area or count > largest:
        raise EngineError(
            f"An image of {count} patches was given; this bundle takes multiples of"
            f" {vision.merge_area} up to {largest}. Resize it first."
        )
    _expect("patches", patches, (count, vision.patch_dim))
    _expect("rope_cos", rope_cos, (count, vision.head_dim))
    _expect("rope_sin", rope_sin, (count, vision.head_dim))


def check_decoder_inputs(
    manifest: Manifest, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
) -> None:
    """For TextEngine.decode. Raises EngineError."""
    text, count = manifest.geometry.text, len(embeddings)
    if not 1 <= count <= manifest.prefill_chunk:
        raise EngineError(
            f"{count} tokens were given at once; this bundle takes 1..{manifest.prefill_chunk}."
        )
    if cache_position < 0 or cache_position + count > manifest.max_context:
        raise EngineError(
            f"KV slots {cache_position}..{cache_position + count - 1} lie outside the context of"
            f" {manifest.max_context} tokens."
        )
    _expect("embeddings", embeddings, (count, text.hidden_size))
    _expect("rope_cos", rope_cos, (count, text.head_dim))
    _expect("rope_sin", rope_sin, (count, text.head_dim))


def check_hidden(manifest: Manifest, hidden: Float32) -> None:
    """For TextEngine.logits. Raises EngineError."""
    _expect("hidden", hidden, (max(len(hidden), 1), manifest.geometry.text.hidden_size))


def check_cache(
    tensors: Mapping[str, NDArray[Any]], buffers: Mapping[str, NDArray[Any]], slot_axis: int
) -> int:
    """For SavesCache.load_cache: how many slots are given. Raises EngineError unless each buffer gets a
    tensor of its type and shape, with the same number of slots, no more than it has."""
    counts: set[int] = {tensor.shape[slot_axis] for tensor in tensors.values() if tensor.ndim > slot_axis}
    if tensors.keys() != buffers.keys() or len(counts) != 1:
        raise EngineError(_OTHER_CACHE)
    (count,) = counts
    for name, buffer in buffers.items():
        shape = list(buffer.shape)
        if count > shape[slot_axis]:
            raise EngineError(_OTHER_CACHE)
        shape[slot_axis] = count
        if tensors[name].dtype != buffer.dtype or tensors[name].shape != tuple(shape):
            raise EngineError(_OTHER_CACHE)
    return count


_OTHER_CACHE = "These keys and values are of another model; feed the conversation again."


def _expect(name: str, array: Float32, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.shape != shape:
        raise EngineError(f"{name} must be float32 {shape}, not {array.dtype} {array.shape}.")
