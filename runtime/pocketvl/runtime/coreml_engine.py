"""Runs the .mlpackage folders of a bundle, in numpy or with Core ML itself.

The packages have static shapes: this engine pads what it is given, masks the padding and cuts it off.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.coreml.loaded import EvaluatedPackage, LoadedPackage, NativePackage
from pocketvl.runtime.engine import CacheState, Float32
from pocketvl.runtime.engine_inputs import (
    check_decoder_inputs,
    check_hidden,
    check_image_inputs,
    check_target,
)
from pocketvl.runtime.errors import BundleError, EngineError
from pocketvl.runtime.manifest import EntryPoint, TensorSpec

WEIGHT_CACHE_BYTES = 6 << 30  # a package; the 2B model's decoder takes 5.3 GB in float32

_HIDDEN = -3e4  # added to scores of slots that a token does not see; float16 ends at -65504


class CoreMLEngine:
    """An Engine (see engine.py) over a Core ML bundle; each package is opened at first use.

    native: run by Core ML (macOS 15 or later) instead of evaluated in numpy; nobody has run that yet.
    round_fp16 and weight_cache_bytes are the evaluator's, see Package.open.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        native: bool = False,
        round_fp16: bool = False,
        weight_cache_bytes: int = WEIGHT_CACHE_BYTES,
    ) -> None:
        """Raises BundleError for a bundle of another target or with dynamic shapes."""
        manifest = bundle.manifest
        check_target(bundle, names.COREML)
        self._bundle = bundle
        self._manifest = manifest
        self._native = native
        self._round_fp16 = round_fp16
        self._weight_cache_bytes = weight_cache_bytes
        self._vision = manifest.entries(names.VISION_ENCODER)
        self._decoders = _by_tokens(manifest.entries(names.TEXT_DECODER))
        self._lm_head = manifest.entries(names.LM_HEAD)[0]
        self._packages: dict[str, LoadedPackage] = {}
        self.cache = CacheState()

    def encode_image(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        check_image_inputs(self._manifest, patches, rope_cos, rope_sin)
        count, area = len(patches), self._manifest.geometry.vision.merge_area
        entry = next(e for e in self._vision if e.patches is not None and e.patches >= count)
        given = {
            names.PATCHES: patches,
            names.ROPE_COS: rope_cos,
            names.ROPE_SIN: rope_sin,
            names.KEY_MASK: np.arange(entry.patches)[None] < count,
        }
        return self._call(entry, given)[: count // area]

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        manifest, count = self._manifest, len(embeddings)
        check_decoder_inputs(manifest, embeddings, rope_cos, rope_sin, cache_position)
        self.cache.version += 1
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
            [self._call(self._lm_head, {names.HIDDEN: part})[: len(part)] for part in parts]
        )

    def release_vision(self) -> None:
        for entry in self._vision:
            self._packages.pop(entry.file, None)

    def close(self) -> None:
        self.cache.version += 1
        self._packages.clear()

    def _tokens_of_call(self, left: int, room: int) -> int:
        """The smallest static size for what is left, else the largest, that stays within the free slots."""
        fitting = [tokens for tokens in self._decoders if tokens <= room]
        if not fitting:
            raise EngineError(
                f"{self._bundle.folder} has no decoder function for the last {room} slots; export it again"
                " with one for 1 token."
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
                names.ATTENTION_MASK: np.where(seen, 0, _HIDDEN),
            }
            hidden = self._call(entry, given)
        return hidden[: len(embeddings)]

    def _call(self, entry: EntryPoint, given: Mapping[str, NDArray[Any]]) -> Float32:
        """The first output in float32, as (rows, size)."""
        inputs = {}
        for spec in entry.inputs:
            if spec.name not in given:
                raise EngineError(
                    f"{entry.method} of {entry.file} asks for {spec.name!r}, unknown to this pocketvl; export"
                    " the bundle again."
                )
            inputs[spec.name] = _padded(given[spec.name], spec)
        output = self._package(entry.file).call(entry.method, inputs)[entry.outputs[0].name]
        return np.asarray(output, np.float32).reshape(-1, output.shape[-1])

    def _package(self, file: str) -> LoadedPackage:
        if file not in self._packages:
            path = self._bundle.path(file)
            self._packages[file] = (
                NativePackage(path)
                if self._native
                else EvaluatedPackage(path, self._round_fp16, self._weight_cache_bytes)
            )
        return self._packages[file]


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
