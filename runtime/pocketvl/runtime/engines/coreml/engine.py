"""Runs the .mlpackage folders of a bundle, in numpy or with Core ML itself.

The packages have static shapes: this engine pads what it is given, masks the padding and cuts it off.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import EntryPoint, TensorSpec
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.checks import (
    check_cache,
    check_decoder_inputs,
    check_hidden,
    check_image_inputs,
    check_target,
)
from pocketvl.runtime.engines.coreml.loaded import EvaluatedPackage, LoadedPackage, NativePackage
from pocketvl.runtime.errors import BundleError, EngineError

WEIGHT_CACHE_BYTES = 6 << 30  # a package; the 2B model's decoder takes 5.3 GB in float32

_MASKED_SCORE = -3e4  # added to scores of slots that a token does not see; float16 ends at -65504


def open_coreml(
    bundle: Bundle,
    *,
    native: bool = False,
    round_fp16: bool = False,
    weight_cache_bytes: int = WEIGHT_CACHE_BYTES,
) -> Engine:
    """Both engines; each package is opened at first use.

    native: run by Core ML (macOS 15 or later) instead of evaluated in numpy; nobody has run that yet.
    round_fp16 and weight_cache_bytes are the evaluator's, see Package.open. Raises BundleError for a bundle
    of another target or with dynamic shapes.
    """
    check_target(bundle, names.COREML)
    if native:
        return Engine(CoreMLVision(bundle, NativePackage), CoreMLText(bundle, NativePackage))
    opened = partial(EvaluatedPackage, round_fp16=round_fp16, weight_cache_bytes=weight_cache_bytes)
    return Engine(CoreMLVision(bundle, opened), CoreMLText(bundle, opened))


class CoreMLVision:
    """A VisionEngine (see engine.py) over vision_encoder.mlpackage."""

    def __init__(self, bundle: Bundle, opened: Callable[[Path], LoadedPackage]) -> None:
        self._manifest, self._packages = bundle.manifest, _Packages(bundle, opened)
        self._entries = bundle.manifest.entries(names.VISION_ENCODER)
        self._lock = threading.Lock()

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        check_image_inputs(self._manifest, patches, rope_cos, rope_sin)
        count, area = len(patches), self._manifest.geometry.vision.merge_area
        entry = next(e for e in self._entries if e.patches is not None and e.patches >= count)
        given = {
            names.PATCHES: patches,
            names.ROPE_COS: rope_cos,
            names.ROPE_SIN: rope_sin,
            names.KEY_MASK: np.arange(entry.patches)[None] < count,
        }
        with self._lock:
            return self._packages.call(entry, given)[: count // area]

    def release(self) -> None:
        with self._lock:
            self._packages.clear()


class CoreMLText:
    """A TextEngine (see engine.py) over the decoder's packages and head.mlpackage."""

    def __init__(self, bundle: Bundle, opened: Callable[[Path], LoadedPackage]) -> None:
        self._folder, self._manifest = bundle.folder, bundle.manifest
        self._packages = _Packages(bundle, opened)
        self._decoders = _by_tokens(bundle.manifest.entries(names.TEXT_DECODER))
        self._lm_head = bundle.manifest.entries(names.LM_HEAD)[0]
        self.cache = KVCache()

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        manifest, count = self._manifest, len(embeddings)
        check_decoder_inputs(manifest, embeddings, rope_cos, rope_sin, cache_position)
        self.cache.truncate(cache_position)
        hidden = []
        done = 0
        while done < count:
            position = cache_position + done
            tokens = self._tokens_of_call(count - done, manifest.max_context - position)
            part = slice(done, min(done + tokens, count))
            hidden.append(
                self._decode_part(embeddings[part], rope_cos[part], rope_sin[part], position, tokens)
            )
            done = part.stop
        return np.concatenate(hidden)

    def logits(self, hidden: Float32) -> Float32:
        check_hidden(self._manifest, hidden)
        rows = _shape(self._lm_head.inputs[0])[1]
        parts = [hidden[start : start + rows] for start in range(0, len(hidden), rows)]
        return np.concatenate(
            [self._packages.call(self._lm_head, {names.HIDDEN: part})[: len(part)] for part in parts]
        )

    def save_cache(self, length: int) -> dict[str, NDArray[Any]]:
        """See SavesCache: float16 (layers of the package, kv_heads, length, head_dim)."""
        return {name: state[:, :, :length].copy() for name, state in self._states().items()}

    def load_cache(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        """See SavesCache."""
        states = self._states()
        count = check_cache(tensors, states, slot_axis=2)
        self.cache.truncate(0)
        for entry in self._state_holders():
            filled = {}
            for name in (names.K_CACHE, names.V_CACHE):
                filled[name] = states[f"{entry.file}/{name}"].copy()
                filled[name][:, :, :count] = tensors[f"{entry.file}/{name}"]
            self._packages.open(entry).set_states(entry.method, filled)
        return count

    def close(self) -> None:
        self.cache.truncate(0)
        self._packages.clear()

    def _state_holders(self) -> tuple[EntryPoint, ...]:
        """A function of each of the decoder's packages."""
        return next(iter(self._decoders.values()))

    def _states(self) -> dict[str, NDArray[Any]]:
        """The whole cache by package and state."""
        return {
            f"{entry.file}/{name}": state
            for entry in self._state_holders()
            for name, state in self._packages.open(entry).states(entry.method).items()
        }

    def _tokens_of_call(self, left: int, room: int) -> int:
        """The smallest static size for what is left, else the largest, that stays within the free slots."""
        fitting = [tokens for tokens in self._decoders if tokens <= room]
        if not fitting:
            raise EngineError(
                f"{self._folder} has no decoder function for the last {room} slots; export it again with one"
                " for 1 token."
            )
        return next((tokens for tokens in fitting if tokens >= left), fitting[-1])

    def _decode_part(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, position: int, tokens: int
    ) -> Float32:
        """Through all chunks of the decoder. What padding writes is overwritten before anything sees it."""
        slots = np.arange(self._manifest.max_context)
        seen = slots <= position + np.arange(tokens)[:, None]
        hidden = embeddings
        for entry in self._decoders[tokens]:
            given = {
                names.EMBEDDINGS: hidden,
                names.ROPE_COS: rope_cos,
                names.ROPE_SIN: rope_sin,
                names.CACHE_POSITION: np.array([[position]]),
                names.ATTENTION_MASK: np.where(seen, 0, _MASKED_SCORE),
            }
            hidden = self._packages.call(entry, given)
        return hidden[: len(embeddings)]


class _Packages:
    """The packages of a bundle, each opened when a function of it is first called."""

    def __init__(self, bundle: Bundle, opened: Callable[[Path], LoadedPackage]) -> None:
        self._bundle, self._open = bundle, opened
        self._loaded: dict[str, LoadedPackage] = {}

    def call(self, entry: EntryPoint, given: Mapping[str, NDArray[Any]]) -> Float32:
        """The first output in float32, as (rows, size)."""
        inputs = {}
        for spec in entry.inputs:
            if spec.name not in given:
                raise EngineError(
                    f"{entry.method} of {entry.file} asks for {spec.name!r}, unknown to this pocketvl; export"
                    " the bundle again."
                )
            inputs[spec.name] = _padded(given[spec.name], spec)
        output = self.open(entry).call(entry.method, inputs)[entry.outputs[0].name]
        return np.asarray(output, np.float32).reshape(-1, output.shape[-1])

    def open(self, entry: EntryPoint) -> LoadedPackage:
        """The package of an entry point."""
        if entry.file not in self._loaded:
            self._loaded[entry.file] = self._open(self._bundle.path(entry.file))
        return self._loaded[entry.file]

    def clear(self) -> None:
        """Free them, states and all."""
        self._loaded.clear()


def _by_tokens(entries: tuple[EntryPoint, ...]) -> dict[int, tuple[EntryPoint, ...]]:
    """The decoder's functions by tokens a call, ascending; of each the chunks in their order."""
    tokens = {
        entry: _shape(spec)[1] for entry in entries for spec in entry.inputs if spec.name == names.EMBEDDINGS
    }
    return {
        count: tuple(entry for entry in entries if tokens.get(entry) == count)
        for count in sorted(set(tokens.values()))
    }


def _padded(rows: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """rows (n, size) at the start of zeros of spec's shape, whose last size is the same."""
    result = np.zeros(_shape(spec), spec.dtype)
    result.reshape(-1, result.shape[-1])[: len(rows)] = rows
    return result


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    sizes = tuple(size for size in spec.shape if isinstance(size, int))
    if len(sizes) != len(spec.shape):
        raise BundleError(f"The input {spec.name!r} has the dynamic shape {list(spec.shape)}; export again.")
    return sizes
