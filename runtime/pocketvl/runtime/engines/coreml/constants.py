"""The constants of one function, read and decompressed when they are needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.compute import Value, check_supported, compute, widened
from pocketvl.runtime.engines.coreml.ops.table import CONSTANT_OPS
from pocketvl.runtime.engines.coreml.program import (
    FunctionProgram,
    Literal,
    Operation,
    Reference,
    Source,
    Stored,
)
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import EngineError

Key = tuple[Any, ...]


class WeightCache:
    """Arrays in float32, kept until `limit` bytes are full; then what is in stays in.

    A model reads its weights in turns, so that throwing out the oldest would never find anything.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._arrays: dict[Key, NDArray[Any]] = {}

    def get(self, key: Key) -> NDArray[Any] | None:
        return self._arrays.get(key)

    def offer(self, key: Key, array: NDArray[Any]) -> None:
        if array.nbytes <= self._free and key not in self._arrays:
            self._free -= array.nbytes
            self._arrays[key] = array


class Constants:
    """Values of const and constexpr operations. Functions that share weights share the cache."""

    def __init__(
        self,
        program: FunctionProgram,
        weights: WeightFile | None,
        cache: WeightCache,
        round_fp16: bool,
        function: str,
    ) -> None:
        """Raises EngineError for a constexpr operation that is not supported."""
        self._weights = weights
        self._cache = cache
        self._round_fp16 = round_fp16
        self._function = function
        self._sources: dict[str, Literal | Stored | Operation] = {}
        for operation in program.operations:
            if is_constant(operation):
                self._add(operation)

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def value(self, source: Source, widen: bool) -> Value:
        """widen: float16 becomes float32. Raises EngineError."""
        match found := self._follow(source):
            case Literal(value):
                return value
            case Stored():
                return self._stored(found, widen)
            case Operation():
                return self._decompressed(found)

    def _add(self, operation: Operation) -> None:
        for source in (sources[0] for sources in operation.arguments.values()):
            if isinstance(source, Reference) and source.name not in self._sources:
                raise EngineError(
                    f"{operation.type} {operation.name!r} in {self._function} reads {source.name!r}, which is"
                    " not a constant; export the bundle again."
                )
        if operation.type == "const":
            self._sources[operation.outputs[0].name] = self._follow(operation.arguments["val"][0])
        else:
            check_supported(operation, CONSTANT_OPS, self._function)
            self._sources[operation.outputs[0].name] = operation

    def _follow(self, source: Source) -> Literal | Stored | Operation:
        return self._sources[source.name] if isinstance(source, Reference) else source

    def _stored(self, source: Stored, widen: bool) -> NDArray[Any]:
        assert self._weights is not None  # Package.open has found every stored value
        if not widen or source.type.dtype != "float16":
            return self._weights.read("a constant", source.offset, source.type)
        array = self._cache.get((source,))
        if array is None:
            array = self._weights.read("a constant", source.offset, source.type).astype(np.float32)
            self._cache.offer((source,), array)
        return array

    def _decompressed(self, operation: Operation) -> NDArray[Any]:
        key = self._operation_key(operation)
        array = self._cache.get(key)
        if array is None:
            arguments = {
                name: self.value(sources[0], widen=False) for name, sources in operation.arguments.items()
            }
            arguments = {name: widened(value) for name, value in arguments.items()}
            implementation = CONSTANT_OPS[operation.type]
            (result,) = compute(operation, implementation, arguments, self._function, self._round_fp16)
            array = result.astype(np.float32, copy=False)
            self._cache.offer(key, array)
        return array

    def _operation_key(self, operation: Operation) -> Key:
        """Equal for operations, also of two functions, that decompress the same bytes the same way."""
        arguments = sorted(operation.arguments.items())
        return (operation.type, *((name, self._key(sources[0])) for name, sources in arguments))

    def _key(self, source: Source) -> Key:
        match found := self._follow(source):
            case Literal(np.ndarray() as array):
                return (array.dtype.str, array.shape, array.tobytes())
            case Literal(value):
                return (value,)
            case Stored():
                return (found,)
            case Operation():
                return self._operation_key(found)


def is_constant(operation: Operation) -> bool:
    return operation.type == "const" or operation.type.startswith("constexpr_")
