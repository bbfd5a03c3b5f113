"""One package of a bundle with the state of its functions, evaluated in numpy or run by Core ML itself."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.engines.coreml.state import State
from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.extras import import_failure

_CACHES = (names.K_CACHE, names.V_CACHE)

Arrays = Mapping[str, NDArray[Any]]


class LoadedPackage(Protocol):
    def call(self, function: str, inputs: Arrays) -> Arrays:
        """Outputs by name. All functions share one state. Raises EngineError."""

    def states(self, function: str) -> dict[str, NDArray[Any]]:
        """The decoder's keys and values by name, to be read only. Raises EngineError."""

    def set_states(self, function: str, values: Arrays) -> None:
        """Put others of the same types in their place. Raises EngineError."""


class EvaluatedPackage:
    """By this project's evaluator, on any machine."""

    def __init__(self, path: Path, round_fp16: bool, weight_cache_bytes: int) -> None:
        """See Package.open. Raises BundleError."""
        self._package = Package.open(path, round_fp16, weight_cache_bytes)
        self._state: State | None = None

    def call(self, function: str, inputs: Arrays) -> Arrays:
        runnable = self._package.function(function)
        state = self._own_state(function) if runnable.signature.states else None
        return runnable.run(inputs, state)

    def states(self, function: str) -> dict[str, NDArray[Any]]:
        kinds = self._package.function(function).signature.states
        return self._own_state(function).select(kinds, function)

    def set_states(self, function: str, values: Arrays) -> None:
        self._own_state(function).replace(values)

    def _own_state(self, function: str) -> State:
        if self._state is None:
            self._state = self._package.new_state(function)
        return self._state


class NativePackage:
    """By Core ML through coremltools, on macOS 15 or later. Written to its documentation, not tried yet."""

    def __init__(self, path: Path) -> None:
        """Raises MissingExtraError without coremltools."""
        try:
            import coremltools
        except (ImportError, OSError, MemoryError) as error:
            raise import_failure(error, "This bundle needs coremltools", "coreml") from None
        self._coremltools = coremltools
        self._path = path
        self._models: dict[str, tuple[Any, bool]] = {}
        self._state: Any = None
        self._copy = tempfile.TemporaryDirectory(prefix="pocketvl-")

    def call(self, function: str, inputs: Arrays) -> Arrays:
        try:
            model, stateful = self._model(function)
            outputs: Arrays = model.predict(dict(inputs), state=self._state if stateful else None)
        except Exception as error:  # whatever Core ML raises
            raise self._failed(function, error) from None
        return outputs

    def states(self, function: str) -> dict[str, NDArray[Any]]:
        try:
            self._model(function)
            return {name: self._state.read_state(name) for name in _CACHES}
        except Exception as error:
            raise self._failed(function, error) from None

    def set_states(self, function: str, values: Arrays) -> None:
        try:
            self._model(function)
            for name, value in values.items():
                self._state.write_state(name, value)
        except Exception as error:
            raise self._failed(function, error) from None

    def _failed(self, function: str, error: Exception) -> EngineError:
        return EngineError(f"{function} of {self._path} failed in Core ML: {error}.")

    def _model(self, function: str) -> tuple[Any, bool]:
        """The loaded model of that function, and whether it has states, which are there then."""
        if function not in self._models:
            self._models[function] = self._load(function)
        model, stateful = self._models[function]
        if stateful and self._state is None:
            self._state = model.make_state()
        return model, stateful

    def _load(self, function: str) -> tuple[Any, bool]:
        """The model of that function, and whether it has states."""
        model = self._coremltools.models.MLModel(str(self._copied()), function_name=function)
        described = model.get_spec().description.functions
        return model, any(one.name == function and one.state for one in described)

    def _copied(self) -> Path:
        """For coremltools, which writes Manifest.json anew: the bundle's own has to keep its hash."""
        copy = Path(self._copy.name) / self._path.name
        if not copy.exists():
            shutil.copytree(self._path, copy, copy_function=_link_data)
        return copy


def _link_data(source: str, target: str) -> None:
    """Weights are not copied where they can be linked."""
    if Path(source).name != "Manifest.json":
        try:
            os.link(source, target)
            return
        except OSError:  # another file system
            pass
    shutil.copy2(source, target)
