"""One operation: are its parameters supported, what does it give, and is that what the program declares."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.program import Operation
from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.errors import EngineError

Value = NDArray[Any] | str | tuple[Any, ...]
Implementation = Callable[..., Any]

LISTS = ("values",)  # parameters that take a list of values, even of one

# What numpy raises for arguments that do not fit one another or into memory, a text in an array's place.
_REFUSALS = (ValueError, IndexError, TypeError, AttributeError, ArithmeticError, MemoryError)


def check_supported(operation: Operation, table: Mapping[str, Implementation], function: str) -> None:
    """Raises EngineError for an op that `table` lacks or a parameter that its function does not take."""
    if operation.type not in table:
        raise EngineError(f"{_place(operation, function)} is an op that the numpy evaluator does not know.")
    try:
        inspect.signature(table[operation.type]).bind(**operation.arguments)
    except TypeError as error:
        raise EngineError(
            f"{_place(operation, function)} has parameters that the numpy evaluator does not take: {error}."
        ) from None
    for parameter, sources in operation.arguments.items():
        if len(sources) > 1 and parameter not in LISTS:
            raise EngineError(
                f"{_place(operation, function)} has a list for {parameter!r}, which takes none."
            )


def compute(
    operation: Operation,
    implementation: Implementation,
    arguments: Mapping[str, Value],
    function: str,
    round_fp16: bool,
) -> tuple[NDArray[Any], ...]:
    """The operation's outputs in their declared shapes. Raises EngineError.

    Floating outputs are float32, or float16 where that is exact: with round_fp16 if so declared, else if the
    implementation only moved what was stored. Others have their declared types.
    """
    try:
        result = implementation(**arguments)
    except _REFUSALS as error:
        raise EngineError(f"{_place(operation, function)} cannot be computed: {error}.") from None
    results = result if isinstance(result, tuple) else (result,)
    shapes = tuple(getattr(array, "shape", None) for array in results)
    declared = tuple(port.type.shape for port in operation.outputs)
    if shapes != declared:
        raise EngineError(
            f"{_place(operation, function)} gives shapes {shapes}, but the program declares {declared};"
            " export the bundle again."
        )
    if any(array.dtype.kind not in "biuf" for array in results):
        raise EngineError(f"{_place(operation, function)} gives no numbers; export the bundle again.")
    return tuple(
        _typed(array, port.type, round_fp16) for array, port in zip(results, operation.outputs, strict=True)
    )


def widened(value: Value) -> Value:
    """float16 as float32, all else as it is."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return tuple(widened(item) for item in value) if isinstance(value, tuple) else value


def _typed(array: NDArray[Any], kind: TensorType, round_fp16: bool) -> NDArray[Any]:
    if not kind.is_float:
        return array.astype(kind.numpy, copy=False)
    if array.dtype == np.float16 and kind.dtype == "float16":
        return array
    return array.astype(np.float16 if round_fp16 and kind.dtype == "float16" else np.float32, copy=False)


def _place(operation: Operation, function: str) -> str:
    return f"{operation.type} {operation.name!r} in {function}"
