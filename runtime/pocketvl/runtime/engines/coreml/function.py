"""One function of a package, computed operation by operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.compute import LISTS, Value, check_supported, compute, widened
from pocketvl.runtime.engines.coreml.constants import Constants, WeightCache, is_constant
from pocketvl.runtime.engines.coreml.ops.elements import MOVING
from pocketvl.runtime.engines.coreml.ops.table import OPS
from pocketvl.runtime.engines.coreml.parse import STATE_OPS
from pocketvl.runtime.engines.coreml.program import FunctionProgram, Operation, Reference, Source
from pocketvl.runtime.engines.coreml.state import State
from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import EngineError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class FunctionSignature:
    """Names and types, in the program's order."""

    inputs: dict[str, TensorType]
    outputs: dict[str, TensorType]
    states: dict[str, TensorType]


class Function:
    """Runs one function. Get it from Package.function."""

    def __init__(
        self,
        path: Path,
        program: FunctionProgram,
        weights: WeightFile | None,
        cache: WeightCache,
        round_fp16: bool,
    ) -> None:
        """Raises EngineError for an op or a parameter that is not supported, before anything is computed."""
        self._place = f"the function {program.name!r} of {path}"
        self._round_fp16 = round_fp16
        self.signature = signature_of(program)
        self._outputs = program.outputs
        self._constants = Constants(program, weights, cache, round_fp16, self._place)
        self._steps = tuple(op for op in program.operations if not is_constant(op))
        for operation in self._steps:
            if operation.type not in STATE_OPS:
                check_supported(operation, OPS, self._place)
        self._last_uses = _last_uses(self._steps, program.outputs)

    def run(self, inputs: Mapping[str, NDArray[Any]], state: State | None = None) -> Arrays:
        """Outputs by name, in their declared types; copies.

        inputs must have exactly the names, types and shapes of `signature`. A function with states changes
        `state`, at the end and only if all went well. Raises EngineError.
        """
        self._check_inputs(inputs)
        states = self._states(state)
        values = {name: np.array(array) for name, array in inputs.items()}
        with np.errstate(all="ignore"):  # overflow and NaN are results here
            self._evaluate(values, states)
            outputs = {
                name: np.array(self._named(name, values, widen=False), kind.numpy)
                for name, kind in self.signature.outputs.items()
            }
        if state is not None:
            state.replace(states)
        return outputs

    def _evaluate(self, values: Arrays, states: Arrays) -> None:
        for operation, finished in zip(self._steps, self._last_uses, strict=True):
            if operation.type == "read_state":
                values[operation.outputs[0].name] = states[_state_name(operation)]
            elif operation.type == "write_state":
                self._write_state(operation, values, states)
            else:
                arguments = self._arguments(operation, values)
                results = compute(operation, OPS[operation.type], arguments, self._place, self._round_fp16)
                for port, array in zip(operation.outputs, results, strict=True):
                    values[port.name] = array
            for name in finished:
                values.pop(name, None)

    def _write_state(self, operation: Operation, values: Arrays, states: Arrays) -> None:
        name = _state_name(operation)
        data = self._argument("data", operation.arguments["data"], values, widen=False)
        kind = self.signature.states[name]
        if not isinstance(data, np.ndarray) or data.shape != kind.shape:
            raise EngineError(
                f"write_state {operation.name!r} in {self._place} writes something else than {kind} to"
                f" {name!r}; export the bundle again."
            )
        states[name] = data.astype(kind.numpy, copy=False)

    def _arguments(self, operation: Operation, values: Arrays) -> dict[str, Value]:
        widen = operation.type not in MOVING
        return {
            parameter: self._argument(parameter, sources, values, widen)
            for parameter, sources in operation.arguments.items()
        }

    def _argument(self, parameter: str, sources: tuple[Source, ...], values: Arrays, widen: bool) -> Value:
        found = tuple(self._source(source, values, widen) for source in sources)
        return found if len(found) > 1 or parameter in LISTS else found[0]

    def _source(self, source: Source, values: Arrays, widen: bool) -> Value:
        if isinstance(source, Reference):
            return self._named(source.name, values, widen)
        value = self._constants.value(source, widen)
        return widened(value) if widen else value

    def _named(self, name: str, values: Arrays, widen: bool) -> Value:
        value = values[name] if name in values else self._constants.value(Reference(name), widen)
        return widened(value) if widen else value

    def _check_inputs(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        expected = self.signature.inputs
        for name in inputs:
            if name not in expected:
                known = ", ".join(expected) or "none"
                raise EngineError(f"{self._place} has no input {name!r}; its inputs are: {known}.")
        for name, kind in expected.items():
            if name not in inputs:
                raise EngineError(f"{self._place} needs the input {name!r}, {kind}.")
            array = inputs[name]
            if array.shape != kind.shape or array.dtype != kind.numpy:
                raise EngineError(
                    f"The input {name!r} of {self._place} must be {kind}, not"
                    f" {array.dtype} {list(array.shape)}."
                )

    def _states(self, state: State | None) -> Arrays:
        if not self.signature.states:
            return {}
        if state is None:
            raise EngineError(
                f"{self._place} needs a state with {', '.join(self.signature.states)}; call new_state."
            )
        return state.select(self.signature.states, self._place)


def signature_of(program: FunctionProgram) -> FunctionSignature:
    types = {port.name: port.type for port in program.inputs}
    types |= {port.name: port.type for op in program.operations for port in op.outputs}
    return FunctionSignature(
        {port.name: port.type for port in program.inputs},
        {name: types[name] for name in program.outputs},
        {port.name: port.type for port in program.states},
    )


def _state_name(operation: Operation) -> str:
    source = operation.arguments["input"][0]
    return source.name if isinstance(source, Reference) else ""


def _last_uses(steps: tuple[Operation, ...], outputs: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each step the values that nothing behind it reads."""
    seen = set(outputs)
    finished = []
    for operation in reversed(steps):
        used = {port.name for port in operation.outputs}
        for sources in operation.arguments.values():
            used |= {source.name for source in sources if isinstance(source, Reference)}
        finished.append(tuple(used - seen))
        seen |= used
    return tuple(reversed(finished))
