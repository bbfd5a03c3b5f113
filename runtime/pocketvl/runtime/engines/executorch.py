"""Runs the .pte files of a bundle with ExecuTorch's Python runtime.

That runtime takes torch tensors, so torch is imported here, and only when a file is loaded.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.blas import blas_threads
from pocketvl.runtime.engines.checks import (
    check_cache,
    check_decoder_inputs,
    check_hidden,
    check_image_inputs,
    check_target,
)
from pocketvl.runtime.engines.memory import return_memory, return_zeros
from pocketvl.runtime.engines.native_log import captured_stderr
from pocketvl.runtime.engines.thread_pool import ThreadPool
from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.extras import import_failure

_OPERATOR_LIBRARIES = (
    "extension/llm/custom_ops/libcustom_ops_aot_lib",  # update_cache, custom_sdpa
    "kernels/quantized/libquantized_ops_aot_lib",
)


def open_executorch(bundle: Bundle, threads: int | None = None) -> Engine:
    """Both engines; nothing is loaded yet.

    threads: of the pool that all engines of the process share; while a file of any is loaded, another number
    is refused with a UsageError, here or where files are loaded. None: as many as ExecuTorch thinks best, or
    those of the pool in use. Raises BundleError for another target, EngineError, MissingExtraError.
    """
    check_target(bundle, names.EXECUTORCH)
    runtime = _import_runtime()
    pool = ThreadPool(runtime, threads)
    return Engine(ExecuTorchVision(bundle, runtime, pool), ExecuTorchText(bundle, runtime, pool))


class ExecuTorchVision:
    """A VisionEngine (see engine.py) over vision_encoder.pte."""

    def __init__(self, bundle: Bundle, runtime: Any, pool: ThreadPool) -> None:
        self._bundle, self._manifest, self._runtime, self._pool = bundle, bundle.manifest, runtime, pool
        self._entries = bundle.manifest.entries(names.VISION_ENCODER)
        self._files: dict[str, _LoadedFile] = {}
        self._lock = threading.Lock()

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        check_image_inputs(self._manifest, patches, rope_cos, rope_sin)
        count, area = len(patches), self._manifest.geometry.vision.merge_area
        entry = next(e for e in self._entries if e.patches is None or e.patches >= count)
        inputs: tuple[NDArray[Any], ...] = (patches, rope_cos, rope_sin)
        if entry.patches is not None:
            inputs = _padded(inputs, entry.patches)
        with self._lock:
            if entry.file not in self._files:
                path = self._bundle.path(entry.file)
                self._files[entry.file] = _LoadedFile(self._runtime, self._pool, path)
            embeddings: Float32 = self._files[entry.file].run(entry.method, inputs)[: count // area]
        return embeddings

    def release(self) -> None:
        with self._lock:
            self._files.clear()
            return_memory()


class ExecuTorchText:
    """A TextEngine (see engine.py) over text_decoder.pte, whose cache is the graph's own state."""

    def __init__(self, bundle: Bundle, runtime: Any, pool: ThreadPool) -> None:
        self._bundle, self._manifest, self._runtime, self._pool = bundle, bundle.manifest, runtime, pool
        self._decoder = bundle.manifest.entries(names.TEXT_DECODER)[0]
        self._lm_head = bundle.manifest.entries(names.LM_HEAD)[0]
        self._head: _LoadedFile | None = None
        self._stateful: _StatefulMethod | None = None
        self.cache = KVCache()

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        check_decoder_inputs(self._manifest, embeddings, rope_cos, rope_sin, cache_position)
        method = self._method()
        self.cache.truncate(cache_position)
        position = np.array([cache_position], dtype=np.int64)
        hidden: Float32 = method.run((embeddings[None], rope_cos, rope_sin, position))[0]
        return hidden

    def logits(self, hidden: Float32) -> Float32:
        check_hidden(self._manifest, hidden)
        rows = names.MAX_HEAD_ROWS
        if self._head is None:
            self._head = _LoadedFile(self._runtime, self._pool, self._bundle.path(self._lm_head.file))
        parts = [hidden[start : start + rows] for start in range(0, len(hidden), rows)]
        logits = [self._head.run(self._lm_head.method, (part[None],))[0] for part in parts]
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def save_cache(self, length: int) -> dict[str, NDArray[Any]]:
        """See SavesCache: float32 (1, length, kv_heads, head_dim)."""
        return {name: buffer[:, :length].copy() for name, buffer in self._buffers(self._method()).items()}

    def load_cache(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        """See SavesCache."""
        buffers = self._buffers(self._method())
        count = check_cache(tensors, buffers, slot_axis=1)
        self.cache.truncate(0)
        for name, buffer in buffers.items():
            buffer[:, :count] = tensors[name]
        return count

    def close(self) -> None:
        self.cache.truncate(0)
        self._head = self._stateful = None
        return_memory()

    def _method(self) -> "_StatefulMethod":
        if self._stateful is None:
            # Loading the decoder first and then the head peaks 0.4 GB higher than the other way round.
            self.logits(np.zeros((1, self._manifest.geometry.text.hidden_size), np.float32))
            path = self._bundle.path(self._decoder.file)
            self._stateful = _StatefulMethod(self._runtime, self._pool, path, self._decoder.method)
            # ExecuTorch fills the memory of every slot with zeros: 0.1 GB for 2048 slots of the 2B model.
            for buffer in self._buffers(self._stateful).values():
                return_zeros(buffer)
        return self._stateful

    def _buffers(self, method: "_StatefulMethod") -> dict[str, NDArray[Any]]:
        """The decoder's own memory; empty for a file that does not name its buffers, as 0.1.0 wrote them."""
        layers = range(self._manifest.geometry.text.num_layers)
        wanted = [names.cache_buffer(layer, part) for layer in layers for part in ("k", "v")]
        found = {name: method.buffer(name) for name in wanted}
        return {name: buffer for name, buffer in found.items() if buffer is not None}


class _StatefulMethod:
    """One method of a .pte file, whose buffers can be read and written in place.

    A Program of ExecuTorch, since a Module does not let its buffers out. It holds this method alone: methods
    of a Program share their memory, and lm_head would write over the decoder's KV cache.
    """

    def __init__(self, runtime: Any, pool: ThreadPool, path: Path, method: str) -> None:
        self._runtime, self._path, self._name = runtime, path, method
        with captured_stderr() as native_log:
            try:
                self._program = runtime._load_program(str(path))  # the method needs it
                self._method = pool.load(lambda: self._program.load_method(method))
            except RuntimeError as error:
                raise EngineError(f"ExecuTorch cannot load {path}: {error}. {native_log()}".strip()) from None

    def run(self, inputs: tuple[NDArray[Any], ...]) -> Float32:
        import torch

        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs]
        try:
            with blas_threads(self._runtime._threadpool_get_thread_count()):
                return _copied(self._method.call(tensors, clone_outputs=False))
        except RuntimeError as error:
            raise _failure(self._name, self._path, error) from None

    def buffer(self, name: str) -> NDArray[Any] | None:
        """The memory itself, which lives as long as this method; None where the file names no such buffer."""
        with captured_stderr():
            try:
                found: NDArray[Any] = self._method.get_attribute(name).numpy()
            except RuntimeError:
                return None
        return found


class _LoadedFile:
    """One .pte file; a method is loaded when it first runs.

    A Module of ExecuTorch: its methods have memory of their own.
    """

    def __init__(self, runtime: Any, pool: ThreadPool, path: Path) -> None:
        self._runtime, self._path = runtime, path
        self._loaded: set[str] = set()
        with captured_stderr() as native_log:
            try:
                self._module = pool.load(lambda: runtime._load_for_executorch(str(path)))
            except RuntimeError as error:
                raise EngineError(f"ExecuTorch cannot load {path}: {error}. {native_log()}".strip()) from None

    def run(self, method: str, inputs: tuple[NDArray[Any], ...]) -> Float32:
        import torch

        # Non-contiguous inputs are silently wrong in ExecuTorch (pytorch/executorch#18562).
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs]
        try:
            if method in self._loaded:
                return self._execute(method, tensors)
            with captured_stderr():  # loading talks about the processor
                result = self._execute(method, tensors)
        except RuntimeError as error:
            raise _failure(method, self._path, error) from None
        self._loaded.add(method)
        return result

    def _execute(self, method: str, tensors: list[Any]) -> Float32:
        with blas_threads(self._runtime._threadpool_get_thread_count()):
            return _copied(self._module.run_method(method, tensors, clone_outputs=False))


def _copied(outputs: Any) -> Float32:
    """The only output, which aliases the method's own buffer. Not by clone_outputs: torch copies logits of a
    large vocabulary with OpenMP, whose threads then spin beside ExecuTorch's pool during the next step."""
    output: Float32 = outputs[0].numpy().copy()
    return output


def _failure(method: str, path: Path, error: RuntimeError) -> EngineError:
    return EngineError(
        f"{method} of {path} failed in ExecuTorch ({error}); run `pocketvl inspect --check` on the bundle."
    )


def _import_runtime() -> Any:
    """The native module alone: the wrapper package imports the whole exporter, which costs seconds."""
    try:
        import executorch
        import torch
        from executorch.extension.pybindings import _portable_lib
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "This bundle needs ExecuTorch", "executorch") from None
    root = Path(next(iter(executorch.__path__)))
    for library in _OPERATOR_LIBRARIES:
        found = sorted(root.glob(f"{library}.*"))
        if not found:
            raise EngineError(f"{root / library} is missing; reinstall executorch==1.4.1.")
        torch.ops.load_library(str(found[0]))  # type: ignore[no-untyped-call]
    return _portable_lib


def _padded(arrays: tuple[NDArray[Any], ...], patches: int) -> tuple[NDArray[Any], ...]:
    """Zero rows up to `patches`, and the key mask (1 real, 0 padding) that hides them."""
    count = len(arrays[0])
    mask = (np.arange(patches) < count).astype(np.float32)
    return (*(np.pad(array, ((0, patches - count), (0, 0))) for array in arrays), mask)
