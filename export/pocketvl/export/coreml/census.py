"""Counts what a written .mlpackage really holds: every layer must have got the bits that its recipe names.

The saved program is read back, and the weight behind each of its linear layers and table look-ups is compared
with what was to be stored, by the sha256 of its values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.export.coreml.blockwise import Stored
from pocketvl.export.coreml.package import MODEL_FILE, WEIGHT_FILE
from pocketvl.export.layer_groups import StoredLayer
from pocketvl.quant.recipe import Bits
from pocketvl.runtime.coreml import program
from pocketvl.runtime.coreml.parse import parse_functions
from pocketvl.runtime.coreml.protobuf import read_model
from pocketvl.runtime.coreml.tensor_type import TensorType
from pocketvl.runtime.coreml.weights import WeightFile
from pocketvl.runtime.errors import CensusError

_QUANTIZED = "constexpr_blockwise_shift_scale"
# Operators with a weight, and what they call it.
_WEIGHTS = {"linear": "weight", "gather": "x", "matmul": "y", "conv": "weight"}
_DTYPES = {4: "int4", 8: "int8", 16: "float16", 32: "float16"}


@dataclass(frozen=True)
class Kernel:
    """A weight as it is stored."""

    data: TensorType
    scales: TensorType | None
    data_key: str  # sha256 of the values, 4 bits as one byte each
    scale_key: str | None

    def describe(self) -> str:
        scaled = f" with scales {list(self.scales.shape)}" if self.scales else ""
        return f"{self.data.dtype} {list(self.data.shape)}{scaled}"


@dataclass(frozen=True)
class Expected:
    """One weight that a function must hold."""

    layer: str
    bits: Bits
    kernel: Kernel


@dataclass(frozen=True)
class Found:
    """Where a weight stands: bytes of weight.bin."""

    data: int
    scales: int | None


def expected(weights: Iterable[Stored]) -> tuple[Expected, ...]:
    """What to look for."""
    return tuple(Expected(weight.layer, weight.bits, _kernel_of(weight)) for weight in weights)


def census(package: Path, wanted: Mapping[str, tuple[Expected, ...]]) -> dict[str, Found]:
    """Compare each function of the package with what it must hold; layer -> where its weight stands.

    Raises CensusError for a function that is missing, a layer that is missing, of other bits or with other
    values, a weight that no recipe names, or one that is stored more than once.
    """
    path = package / MODEL_FILE
    functions = parse_functions(read_model(path), path)
    weights = _Weights(package / WEIGHT_FILE)
    places: dict[str, Found] = {}
    for name, layers in wanted.items():
        if name not in functions:
            raise CensusError(f"{package} has no function {name}.")
        kernels = list(weights.of(functions[name]))
        for layer, found in _check(f"{name} of {package.name}", kernels, layers).items():
            if places.setdefault(layer, found) != found:
                raise CensusError(
                    f"{package.name} stores {layer} more than once; please report this with the recipe."
                )
    return places


def stored_layers(weights: Iterable[Expected]) -> Iterator[StoredLayer]:
    """Their sizes in weight.bin."""
    for weight in weights:
        data, scales = weight.kernel.data, weight.kernel.scales
        yield StoredLayer(weight.bits, data.size, data.bytes + (scales.bytes if scales else 0))


def _check(where: str, kernels: list[tuple[Kernel, Found]], wanted: tuple[Expected, ...]) -> dict[str, Found]:
    places = {}
    for one in wanted:
        alike = [(kernel, found) for kernel, found in kernels if kernel.data_key == one.kernel.data_key]
        if not alike:
            raise CensusError(
                f"{one.layer} is not in {where}, so it did not get the {one.bits.bits} bits of its recipe."
                " Please report this with the recipe."
            )
        places[one.layer] = _matching(where, alike, one)
    if len(kernels) != len(wanted):
        raise CensusError(
            f"{where} has {len(kernels)} layers with weights where the recipe knows {len(wanted)}. Please"
            " report this with the recipe."
        )
    return places


def _matching(where: str, alike: list[tuple[Kernel, Found]], wanted: Expected) -> Found:
    for kernel, found in alike:
        if kernel == wanted.kernel:
            return found
    raise CensusError(
        f"{wanted.layer} was written into {where} as {alike[0][0].describe()}, but its recipe makes it"
        f" {wanted.kernel.describe()}, or its scales differ. Please report this with the recipe."
    )


class _Weights:
    """The weights that operators read from one weight.bin, each hashed once."""

    def __init__(self, path: Path) -> None:
        self._file = WeightFile(path)
        self._keys: dict[int, str] = {}

    def of(self, function: program.FunctionProgram) -> Iterator[tuple[Kernel, Found]]:
        """Stored ones only: what an operator computes with may also come from the inputs."""
        producers = {port.name: operation for operation in function.operations for port in operation.outputs}
        for operation in function.operations:
            if operation.type not in _WEIGHTS:
                continue
            (source,) = operation.arguments[_WEIGHTS[operation.type]]
            producer = producers.get(source.name) if isinstance(source, program.Reference) else None
            if producer is not None and producer.type == _QUANTIZED:
                yield self._read(producer, "data", "scale")
            elif producer is not None and producer.type == "const":
                yield self._read(producer, "val", None)

    def _read(self, operation: program.Operation, data: str, scale: str | None) -> tuple[Kernel, Found]:
        kind, place, key = self._value(operation, data)
        if scale is None:
            return Kernel(kind, None, key, None), Found(place, None)
        scale_kind, scale_place, scale_key = self._value(operation, scale)
        return Kernel(kind, scale_kind, key, scale_key), Found(place, scale_place)

    def _value(self, operation: program.Operation, parameter: str) -> tuple[TensorType, int, str]:
        (source,) = operation.arguments[parameter]
        if not isinstance(source, program.Stored):
            raise CensusError(
                f"{parameter} of {operation.name} does not stand in weight.bin; please report this with the"
                " recipe."
            )
        if source.offset not in self._keys:
            values = self._file.read(operation.name, source.offset, source.type)
            self._keys[source.offset] = _key(values)
        place = self._file.place(operation.name, source.offset, source.type)
        return source.type, place, self._keys[source.offset]


def _kernel_of(weight: Stored) -> Kernel:
    data, scales = weight.data, weight.scales
    kind = TensorType(_DTYPES[weight.bits.bits], data.shape)
    if scales is None:
        return Kernel(kind, None, _key(data), None)
    return Kernel(kind, TensorType("float16", scales.shape), _key(data), _key(scales))


def _key(values: NDArray[Any]) -> str:
    return sha256(np.ascontiguousarray(values).data).hexdigest()
