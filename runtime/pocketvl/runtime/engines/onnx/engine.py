"""Runs the host graphs of an ONNX bundle with onnxruntime."""

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.bundle.signature import CACHE_PARTS
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.checks import (
    check_cache,
    check_decoder_inputs,
    check_hidden,
    check_image_inputs,
    check_target,
    check_threads,
)
from pocketvl.runtime.engines.memory import return_file_pages, return_memory
from pocketvl.runtime.engines.onnx.graph import Graph
from pocketvl.runtime.engines.onnx.session import import_runtime


def open_onnx(bundle: Bundle, threads: int | None = None) -> Engine:
    """Both engines; nothing is loaded yet. threads None: one per physical core.

    Raises BundleError for another target, EngineError, MissingExtraError.
    """
    check_target(bundle, names.ONNX)
    check_threads(threads)
    runtime = import_runtime()
    return Engine(OnnxVision(bundle, runtime, threads), OnnxText(bundle, runtime, threads))


class OnnxVision:
    """A VisionEngine (see engine.py) over onnx/host_vision_encoder.onnx."""

    def __init__(self, bundle: Bundle, runtime: ModuleType, threads: int | None) -> None:
        self._bundle, self._manifest = bundle, bundle.manifest
        self._runtime, self._threads = runtime, threads
        self._graph: Graph | None = None
        self._lock = threading.Lock()

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        check_image_inputs(self._manifest, patches, rope_cos, rope_sin)
        vision = self._manifest.geometry.vision
        given = {names.PATCHES: patches, names.ROPE_COS: rope_cos, names.ROPE_SIN: rope_sin}
        shape = (len(patches) // vision.merge_area, vision.output_size)
        with self._lock:
            if self._graph is None:
                entry = self._manifest.entries(names.VISION_ENCODER)[0]
                self._graph = Graph(self._runtime, self._bundle, entry, self._threads)
            return self._graph.run(given, names.IMAGE_EMBEDDINGS, shape)

    def release(self) -> None:
        with self._lock:
            self._graph = None
            return_memory()


class OnnxText:
    """A TextEngine (see engine.py) over the graphs of decoder and head; it can save its cache."""

    def __init__(self, bundle: Bundle, runtime: ModuleType, threads: int | None) -> None:
        self._bundle, self._manifest = bundle, bundle.manifest
        self._runtime, self._threads = runtime, threads
        self._graphs: dict[str, Graph] = {}
        self._buffers: dict[str, Float32] = {}  # past tensor -> (1, kv_heads, max_context, head_dim)
        self.cache = KVCache()

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        check_decoder_inputs(self._manifest, embeddings, rope_cos, rope_sin, cache_position)
        self.cache.truncate(cache_position)
        total = cache_position + len(embeddings)
        given = {
            names.EMBEDDINGS: embeddings[None],
            names.ROPE_COS: rope_cos,
            names.ROPE_SIN: rope_sin,
            names.SEQLENS_K: np.array([total - 1], np.int32),
            names.TOTAL_SEQUENCE_LENGTH: np.array(total, np.int32),
        }
        hidden: Float32 = self._graph(names.TEXT_DECODER).run(given, names.HIDDEN, (1, *embeddings.shape))[0]
        return hidden

    def logits(self, hidden: Float32) -> Float32:
        check_hidden(self._manifest, hidden)
        shape = (1, len(hidden), self._manifest.geometry.text.vocab_size)
        logits: Float32 = self._graph(names.LM_HEAD).run({names.HIDDEN: hidden[None]}, names.LOGITS, shape)[0]
        return logits

    def save_cache(self, length: int) -> dict[str, NDArray[Any]]:
        """See SavesCache."""
        self._graph(names.TEXT_DECODER)
        return {name: buffer[:, :, :length].copy() for name, buffer in self._buffers.items()}

    def load_cache(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        """See SavesCache."""
        self._graph(names.TEXT_DECODER)
        count = check_cache(tensors, self._buffers, slot_axis=2)
        self.cache.truncate(0)
        for name, buffer in self._buffers.items():
            buffer[:, :, :count] = tensors[name]
        return count

    def close(self) -> None:
        self.cache.truncate(0)
        self._graphs.clear()
        self._buffers.clear()
        return_memory()

    def _graph(self, name: str) -> Graph:
        if name not in self._graphs:
            if name == names.TEXT_DECODER:
                # While a graph is loaded its largest weights are there twice, and the head's are the largest
                # of all: 0.24 GB less at the peak of the 2B model if that comes first.
                self._graph(names.LM_HEAD)
            entry = self._manifest.entries(name)[0]
            graph = Graph(self._runtime, self._bundle, entry, self._threads)
            if name == names.TEXT_DECODER:
                self._add_cache(graph)
            self._graphs[name] = graph
            # onnxruntime keeps what it has packed mapped: 0.16 GB of the 2B model's scales, never read again.
            return_file_pages(self._bundle.path(entry.file).parent)
        return self._graphs[name]

    def _add_cache(self, graph: Graph) -> None:
        """One buffer of max_context slots is past and present: GroupQueryAttention then writes in place.

        It never reads slots after total_sequence_length, whatever is there. Untouched pages of the zeros take
        no memory.
        """
        text = self._manifest.geometry.text
        shape = (1, text.num_kv_heads, self._manifest.max_context, text.head_dim)
        for layer in range(text.num_layers):
            for part in CACHE_PARTS:
                past = names.past_tensor(layer, part)
                self._buffers[past] = np.zeros(shape, np.float32)
                graph.keep(past, names.present_tensor(layer, part), self._buffers[past])
