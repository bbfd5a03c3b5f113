"""The weights that a written .mlpackage really holds, for pocketvl.export.census.

The saved program is read back, and the weights of its linear layers and table look-ups are hashed as values:
4 bits as one byte each.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pocketvl.export.census import REPORT, Expected, Kernel, Location, compare, key_of
from pocketvl.export.coreml.function import StoredWeight
from pocketvl.export.coreml.package import MODEL_FILE, WEIGHT_FILE
from pocketvl.runtime.engines.coreml import program
from pocketvl.runtime.engines.coreml.parse import parse_functions
from pocketvl.runtime.engines.coreml.protobuf import read_model
from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import CensusError

_QUANTIZED = "constexpr_blockwise_shift_scale"
# Operators with a weight, and what they call it.
_WEIGHTS = {"linear": "weight", "gather": "x", "matmul": "y", "conv": "weight"}
_DTYPES = {4: "int4", 8: "int8", 16: "float16", 32: "float16"}


def expected(weights: Iterable[StoredWeight]) -> tuple[Expected, ...]:
    """What to look for, of weights as they are to be stored."""
    return tuple(_expected(weight) for weight in weights)


def census(package: Path, functions: Mapping[str, tuple[Expected, ...]]) -> dict[str, Kernel]:
    """Compare each function of the package with what it must hold; layer -> where it is in weight.bin.

    Raises CensusError as compare does, for a function that is missing, and for a weight that is stored more
    than once.
    """
    path = package / MODEL_FILE
    programs = parse_functions(read_model(path), path)
    weights = _Weights(package / WEIGHT_FILE)
    found: dict[str, Kernel] = {}
    for name, wanted in functions.items():
        if name not in programs:
            raise CensusError(f"{package} has no function {name}.")
        kernels = list(weights.read_kernels(programs[name]))
        for layer, kernel in compare(f"{name} of {package.name}", kernels, wanted).items():
            if found.setdefault(layer, kernel).location != kernel.location:
                raise CensusError(f"{package.name} stores {layer} more than once. {REPORT}")
    return found


class _Weights:
    """The weights that operators read from one weight.bin, each hashed once."""

    def __init__(self, path: Path) -> None:
        self._file = WeightFile(path)
        self._keys: dict[int, str] = {}

    def read_kernels(self, function: program.FunctionProgram) -> Iterator[Kernel]:
        """Stored ones only: what an operator computes with may also come from the inputs."""
        producers = {port.name: operation for operation in function.operations for port in operation.outputs}
        for operation in function.operations:
            if operation.type not in _WEIGHTS:
                continue
            (source,) = operation.arguments[_WEIGHTS[operation.type]]
            producer = producers.get(source.name) if isinstance(source, program.Reference) else None
            if producer is not None and producer.type == _QUANTIZED:
                yield self._kernel(producer, "data", "scale")
            elif producer is not None and producer.type == "const":
                yield self._kernel(producer, "val", None)

    def _kernel(self, operation: program.Operation, data: str, scale: str | None) -> Kernel:
        kind, place, key = self._value(operation, data)
        if scale is None:
            return Kernel(_form(kind, None), key, None, kind.bytes, Location(place, None))
        scales, scale_place, scale_key = self._value(operation, scale)
        size, location = kind.bytes + scales.bytes, Location(place, scale_place)
        return Kernel(_form(kind, scales), key, scale_key, size, location)

    def _value(self, operation: program.Operation, parameter: str) -> tuple[TensorType, int, str]:
        (source,) = operation.arguments[parameter]
        if not isinstance(source, program.Stored):
            raise CensusError(f"{parameter} of {operation.name} is not in weight.bin. {REPORT}")
        if source.offset not in self._keys:
            values = self._file.read(operation.name, source.offset, source.type)
            self._keys[source.offset] = key_of(values)
        place = self._file.place(operation.name, source.offset, source.type)
        return source.type, place, self._keys[source.offset]


def _expected(weight: StoredWeight) -> Expected:
    (rows, columns), scales = weight.data.shape, weight.scales
    kind = TensorType(_DTYPES[weight.precision.bits], (rows, columns))
    scale_kind = None if scales is None else TensorType("float16", scales.shape)
    scale_key = None if scales is None else key_of(scales)
    form = _form(kind, scale_kind)
    return Expected(weight.layer, weight.precision, (rows, columns), form, key_of(weight.data), scale_key)


def _form(data: TensorType, scales: TensorType | None) -> str:
    return _type(data) + (f" with {_type(scales)} scales" if scales else "")


def _type(kind: TensorType) -> str:
    return f"{kind.dtype} {list(kind.shape)}"
