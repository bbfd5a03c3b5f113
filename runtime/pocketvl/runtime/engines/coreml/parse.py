"""From the protobuf message of a model (mlmodel/format/MIL.proto of coremltools) to FunctionProgram."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.program import (
    FunctionProgram,
    Literal,
    Operation,
    Port,
    Reference,
    Source,
    Stored,
)
from pocketvl.runtime.engines.coreml.tensor_type import BY_PROGRAM_NUMBER, DTYPES, TensorType, from_bytes
from pocketvl.runtime.errors import BundleError

WEIGHTS = "@model_path/weights/weight.bin"  # the only weight file that coremltools writes

STATE_OPS = ("read_state", "write_state")

_NUMBER_FIELDS = ("floats", "ints", "bools", "longInts", "doubles")


def parse_functions(model: Any, path: Path) -> dict[str, FunctionProgram]:
    """The functions of the model message read from `path`, by name.

    Raises BundleError for anything but an ML program of static tensors.
    """
    if model.WhichOneof("Type") != "mlProgram":
        raise BundleError(
            f"{path} holds a {model.WhichOneof('Type') or 'model without a type'}, not an ML program; convert"
            " it for iOS 18."
        )
    functions = model.mlProgram.functions
    return {name: _Parser(path, name).function(functions[name]) for name in sorted(functions)}


class _Parser:
    """Parses one function; messages name it and the file."""

    def __init__(self, path: Path, function: str) -> None:
        self._path = path
        self._function = function

    def function(self, message: Any) -> FunctionProgram:
        if message.opset not in message.block_specializations:
            raise self._unfit(f"has no block for its own opset {message.opset!r}")
        block = message.block_specializations[message.opset]
        states = [port for port in message.inputs if port.type.WhichOneof("type") == "stateType"]
        inputs = [port for port in message.inputs if port.type.WhichOneof("type") != "stateType"]
        program = FunctionProgram(
            self._function,
            tuple(self._port(port.name, port.type) for port in inputs),
            tuple(self._port(port.name, port.type.stateType.wrappedType) for port in states),
            tuple(self._operation(operation) for operation in block.operations),
            tuple(block.outputs),
        )
        self._check_references(program)
        return program

    def _operation(self, message: Any) -> Operation:
        outputs = tuple(self._port(port.name, port.type) for port in message.outputs)
        name = outputs[0].name if outputs else _name_attribute(message)
        if message.blocks:
            raise self._unfit(f"has a nested block in {message.type} {name!r}, which is not supported")
        arguments: dict[str, tuple[Source, ...]] = {
            parameter: (self._value(value, f"{name}.{parameter}"),)
            for parameter, value in message.attributes.items()
            if parameter != "name"
        }
        for parameter, argument in message.inputs.items():
            arguments[parameter] = tuple(
                self._binding(binding, f"{name}.{parameter}") for binding in argument.arguments
            )
        constant = message.type == "const" or message.type.startswith("constexpr_")
        if (constant and len(outputs) != 1) or (message.type == "const" and not arguments.get("val")):
            raise self._unfit(f"has no value in {message.type} {name!r}")
        if any(not sources for sources in arguments.values()):
            raise self._unfit(f"has an empty argument in {message.type} {name!r}")
        return Operation(message.type, name, arguments, outputs)

    def _binding(self, binding: Any, where: str) -> Source:
        if binding.WhichOneof("binding") == "name":
            return Reference(binding.name)
        return self._value(binding.value, where)

    def _value(self, value: Any, where: str) -> Source:
        match value.WhichOneof("value"):
            case "blobFileValue":
                if value.blobFileValue.fileName != WEIGHTS:
                    raise self._unfit(
                        f"stores {where} in {value.blobFileValue.fileName!r}, not in {WEIGHTS!r}"
                    )
                return Stored(value.blobFileValue.offset, self._tensor_type(value.type, where))
            case "immediateValue":
                return Literal(self._immediate(value, where))
            case _:
                raise self._unfit(f"has no value for {where}")

    def _immediate(self, value: Any, where: str) -> NDArray[Any] | str | tuple[Any, ...]:
        immediate = value.immediateValue
        match immediate.WhichOneof("value"):
            case "tensor":
                return self._tensor(immediate.tensor, self._tensor_type(value.type, where), where)
            case "list" | "tuple" as kind:
                return tuple(self._immediate(item, where) for item in getattr(immediate, kind).values)
            case kind:
                raise self._unfit(f"has a value of kind {kind} for {where}, which is not supported")

    def _tensor(self, tensor: Any, kind: TensorType, where: str) -> NDArray[Any] | str:
        field = tensor.WhichOneof("value")
        if field == "strings" and kind.dtype == "str" and len(tensor.strings.values) == 1:
            return str(tensor.strings.values[0])
        if field == "bytes" and DTYPES[kind.dtype].bits and len(tensor.bytes.values) == kind.bytes:
            return from_bytes(np.frombuffer(tensor.bytes.values, np.uint8), kind)
        if field in _NUMBER_FIELDS and kind.dtype != "str":
            numbers = getattr(tensor, field).values
            if len(numbers) == kind.size:
                return np.array(numbers, kind.numpy).reshape(kind.shape)
        raise self._unfit(f"has for {where} {field} that do not make {kind}")

    def _port(self, name: str, message: Any) -> Port:
        return Port(name, self._tensor_type(message, name))

    def _tensor_type(self, message: Any, where: str) -> TensorType:
        kind = message.WhichOneof("type")
        if kind == "listType":  # its items carry their own types
            return TensorType("str", ())
        if kind != "tensorType":
            raise self._unfit(f"gives {where} a {kind}, which is not supported")
        dtype = BY_PROGRAM_NUMBER.get(message.tensorType.dataType)
        if dtype is None:
            raise self._unfit(f"gives {where} the element type {message.tensorType.dataType}, unknown here")
        dimensions = message.tensorType.dimensions
        if any(dimension.WhichOneof("dimension") != "constant" for dimension in dimensions):
            raise self._unfit(f"gives {where} a dynamic shape; export it with static shapes")
        return TensorType(dtype.name, tuple(int(dimension.constant.size) for dimension in dimensions))

    def _check_references(self, program: FunctionProgram) -> None:
        """Every value is defined before its use; a state is read and written by the state ops alone."""
        states = {port.name for port in program.states}
        known = {port.name for port in program.inputs}
        for operation in program.operations:
            arguments = dict(operation.arguments)
            if operation.type in STATE_OPS:
                self._check_state(operation, arguments.pop("input", ()), states)
            for name in _references(arguments):
                if name not in known:
                    place = f"{operation.type} {operation.name!r}"
                    raise self._unfit(f"uses {name!r} in {place}, which is not defined before")
            known |= {port.name for port in operation.outputs}
        for name in program.outputs:
            if name not in known:
                raise self._unfit(f"puts out {name!r}, which is not defined")

    def _check_state(self, operation: Operation, sources: tuple[Source, ...], states: set[str]) -> None:
        expected = {"input"} if operation.type == "read_state" else {"input", "data"}
        named = [source.name for source in sources if isinstance(source, Reference)]
        if set(operation.arguments) != expected or len(sources) != 1 or not states.issuperset(named or [""]):
            raise self._unfit(f"names no state of its own in {operation.type} {operation.name!r}")

    def _unfit(self, what: str) -> BundleError:
        return BundleError(
            f"The function {self._function!r} of {self._path} {what}; export the bundle again."
        )


def _references(arguments: dict[str, tuple[Source, ...]]) -> Iterable[str]:
    for sources in arguments.values():
        yield from (source.name for source in sources if isinstance(source, Reference))


def _name_attribute(message: Any) -> str:
    """An operation without outputs, write_state, has its name among the attributes."""
    if "name" not in message.attributes:
        return ""
    return "".join(message.attributes["name"].immediateValue.tensor.strings.values)
