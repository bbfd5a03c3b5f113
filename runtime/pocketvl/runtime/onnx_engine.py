"""Runs the host graphs of an ONNX bundle with onnxruntime."""

import numpy as np

from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.engine import CacheState, Float32
from pocketvl.runtime.engine_inputs import (
    check_decoder_inputs,
    check_hidden,
    check_image_inputs,
    check_target,
    check_threads,
)
from pocketvl.runtime.memory import return_memory
from pocketvl.runtime.onnx.graph import Graph
from pocketvl.runtime.onnx.ports import CACHE_PARTS
from pocketvl.runtime.onnx.session import import_runtime


class OnnxEngine:
    """An Engine (see engine.py) over the files onnx/host_*.onnx, each loaded at first use."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """threads None: one a physical core. Raises BundleError for another target, EngineError,
        MissingExtraError."""
        manifest = bundle.manifest
        check_target(bundle, names.ONNX)
        check_threads(threads)
        self._bundle = bundle
        self._manifest = manifest
        self._threads = threads
        self._runtime = import_runtime()
        self._graphs: dict[str, Graph] = {}
        self.cache = CacheState()

    def encode_image(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        check_image_inputs(self._manifest, patches, rope_cos, rope_sin)
        vision = self._manifest.geometry.vision
        given = {names.PATCHES: patches, names.ROPE_COS: rope_cos, names.ROPE_SIN: rope_sin}
        shape = (len(patches) // vision.merge_area, vision.output_size)
        return self._graph(names.VISION_ENCODER).run(given, names.IMAGE_EMBEDDINGS, shape)

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        check_decoder_inputs(self._manifest, embeddings, rope_cos, rope_sin, cache_position)
        self.cache.version += 1
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

    def release_vision(self) -> None:
        self._graphs.pop(names.VISION_ENCODER, None)
        return_memory()

    def close(self) -> None:
        self.cache.version += 1
        self._graphs.clear()
        return_memory()

    def _graph(self, name: str) -> Graph:
        if name not in self._graphs:
            entry = self._manifest.entries(name)[0]
            graph = Graph(self._runtime, self._bundle, entry, self._threads)
            if name == names.TEXT_DECODER:
                self._add_cache(graph)
            self._graphs[name] = graph
        return self._graphs[name]

    def _add_cache(self, graph: Graph) -> None:
        """One buffer of max_context slots is past and present: GroupQueryAttention then writes in place.

        It never reads slots behind total_sequence_length, whatever stands there. Untouched pages of the
        zeros take no memory.
        """
        text = self._manifest.geometry.text
        shape = (1, text.num_kv_heads, self._manifest.max_context, text.head_dim)
        for layer in range(text.num_layers):
            for part in CACHE_PARTS:
                buffer = np.zeros(shape, np.float32)
                graph.keep(names.past_tensor(layer, part), names.present_tensor(layer, part), buffer)
