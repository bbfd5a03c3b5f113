"""One graph of a bundle, run on buffers that are given to it."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import EntryPoint
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.bundle.signature import host_signature
from pocketvl.runtime.engine import Float32
from pocketvl.runtime.engines.onnx.check import check_signature
from pocketvl.runtime.engines.onnx.session import open_session, reason
from pocketvl.runtime.errors import EngineError


class Graph:
    """The .onnx file of an entry point, loaded."""

    def __init__(self, runtime: ModuleType, bundle: Bundle, entry: EntryPoint, threads: int | None) -> None:
        """Raises EngineError for a file that onnxruntime cannot load, BundleError for other tensors."""
        self._runtime = runtime
        self._path = bundle.path(entry.file)
        self._session = open_session(runtime, self._path, threads)
        check_signature(str(self._path), host_signature(entry.name, bundle.manifest.geometry), self._session)
        self._binding = self._session.io_binding()
        self._kept: list[Any] = []

    def keep(self, source: str, result: str, buffer: Float32) -> None:
        """Read the input `source` from buffer and write the output `result` to it in all runs from now on."""
        value = self._value(buffer)
        self._binding.bind_ortvalue_input(source, value)
        self._binding.bind_ortvalue_output(result, value)
        self._kept.append(value)

    def run(self, given: Mapping[str, NDArray[Any]], output: str, shape: tuple[int, ...]) -> Float32:
        """The output of that shape, which onnxruntime writes straight into the array returned.

        given: every input that is not kept. Raises EngineError.
        """
        result = np.empty(shape, np.float32)
        # onnxruntime works on numpy's own memory, so the arrays must outlive the run. (ascontiguousarray
        # would make vectors of scalars.)
        values = {name: self._value(np.require(array, requirements="C")) for name, array in given.items()}
        written = self._value(result)
        try:
            for name, value in values.items():
                self._binding.bind_ortvalue_input(name, value)
            self._binding.bind_ortvalue_output(output, written)
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime's exceptions have no common class
            raise EngineError(
                f"{self._path} failed in onnxruntime {self._runtime.__version__} ({reason(error)}); run"
                " `pocketvl inspect --check` on the bundle."
            ) from None
        return result

    def _value(self, array: NDArray[Any]) -> Any:
        return self._runtime.OrtValue.ortvalue_from_numpy(array)
