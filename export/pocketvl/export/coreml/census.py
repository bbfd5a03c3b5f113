"""Counts what a written .mlpackage really holds: every layer must have got the bits that its recipe names.

The saved program is read back, and the weight behind each of its linear layers and table look-ups is compared
with what was to be stored, by the sha256 of its bytes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.export.coreml.blob import Place, WeightFile
from pocketvl.export.coreml.package import MODEL_FILE, WEIGHT_FILE
from pocketvl.export.coreml.stored import Stored
from pocketvl.quant.recipe import Bits
from pocketvl.runtime.errors import CensusError
from pocketvl.runtime.manifest import LayerGroup

_QUANTIZED = "constexpr_blockwise_shift_scale"
# Operators with a weight, and what they call it.
_WEIGHT_INPUTS = {"linear": "weight", "gather": "x", "matmul": "y", "conv": "weight"}
_TYPES = {4: "INT4", 8: "INT8", 32: "FLOAT16"}


@dataclass(frozen=True)
class Expected:
    """One weight that every function must hold."""

    layer: str
    bits: Bits
    kernel: "Kernel"


@dataclass(frozen=True)
class Kernel:
    """A weight as it is stored."""

    dtype: str  # of its integers or floats, as the program calls it
    shape: tuple[int, ...]
    scales: tuple[int, ...]  # shape; () where there are none
    data_key: str  # sha256
    scale_key: str

    def describe(self) -> str:
        scaled = f" with scales {list(self.scales)}" if self.scales else ""
        return f"{self.dtype} {list(self.shape)}{scaled}"


@dataclass(frozen=True)
class Found:
    """Where a weight stands in weight.bin."""

    data: Place
    scales: Place | None


def expected(stored: Iterable[Stored]) -> tuple[Expected, ...]:
    """What to look for."""
    return tuple(Expected(weight.layer, weight.bits, _kernel_of(weight)) for weight in stored)


def census(package: Path, wanted: Mapping[str, tuple[Expected, ...]]) -> dict[str, Found]:
    """Compare each function of the package with what it must hold; layer -> where its weight stands.

    Raises CensusError for a function that is missing, a layer that is missing, of other bits or with other
    values, a weight that no recipe names, or one that is stored more than once.
    """
    functions = _functions(package / MODEL_FILE)
    file = WeightFile(package / WEIGHT_FILE)
    places: dict[str, Found] = {}
    for name, layers in wanted.items():
        if name not in functions:
            raise CensusError(f"{package} has no function {name}.")
        for layer, found in _check(f"{name} of {package.name}", functions[name], file, layers).items():
            if places.setdefault(layer, found) != found:
                raise CensusError(
                    f"{package.name} stores {layer} more than once; please report this with the recipe."
                )
    return places


def layer_groups(
    component: str, wanted: Iterable[Expected], places: Mapping[str, Found]
) -> tuple[LayerGroup, ...]:
    """One group for all layers of the same bits and group size, with the bytes really stored."""
    layers: Counter[Bits] = Counter()
    parameters: Counter[Bits] = Counter()
    stored: Counter[Bits] = Counter()
    for one in wanted:
        found = places[one.layer]
        layers[one.bits] += 1
        parameters[one.bits] += one.kernel.shape[0] * one.kernel.shape[1]
        stored[one.bits] += found.data.size + (found.scales.size if found.scales else 0)
    return tuple(
        LayerGroup(component, bits.bits, bits.group_size, layers[bits], parameters[bits], stored[bits])
        for bits in layers
    )


def _kernel_of(weight: Stored) -> Kernel:
    scales = weight.scales
    return Kernel(
        dtype=_TYPES[weight.bits.bits],
        shape=weight.data.shape,
        scales=() if scales is None else scales.shape,
        data_key=_hash(weight.packed),
        scale_key="" if scales is None else _hash(scales),
    )


def _hash(array: NDArray[Any]) -> str:
    return sha256(np.ascontiguousarray(array).data).hexdigest()


def _functions(path: Path) -> dict[str, list[Any]]:
    """Name -> operators."""
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model()
    spec.ParseFromString(path.read_bytes())
    functions = spec.mlProgram.functions
    return {
        name: list(functions[name].block_specializations[functions[name].opset].operations)
        for name in functions
    }


def _check(
    where: str, operations: list[Any], file: WeightFile, wanted: tuple[Expected, ...]
) -> dict[str, Found]:
    kernels: dict[str, list[tuple[Kernel, Found]]] = {}
    count = 0
    for kernel, found in _weights(operations, file):
        kernels.setdefault(kernel.data_key, []).append((kernel, found))
        count += 1
    places = {}
    for one in wanted:
        candidates = kernels.get(one.kernel.data_key)
        if not candidates:
            raise CensusError(
                f"{one.layer} is not in {where}, so it did not get the {one.bits.bits} bits of its recipe."
                " Please report this with the recipe."
            )
        match = next((found for kernel, found in candidates if kernel == one.kernel), None)
        if match is None:
            raise CensusError(
                f"{one.layer} was written into {where} as {candidates[0][0].describe()}, but its recipe makes"
                f" it {one.kernel.describe()}, or its scales differ. Please report this with the recipe."
            )
        places[one.layer] = match
    if count != len(wanted):
        raise CensusError(
            f"{where} has {count} layers with weights where the recipe knows {len(wanted)}. Please report"
            " this with the recipe."
        )
    return places


def _weights(operations: list[Any], file: WeightFile) -> Iterator[tuple[Kernel, Found]]:
    """The stored weights that operators read; what they compute from activations is none."""
    producers = {output.name: operation for operation in operations for output in operation.outputs}
    for operation in operations:
        name = _WEIGHT_INPUTS.get(operation.type)
        if name is None:
            continue
        producer = producers.get(operation.inputs[name].arguments[0].name)
        if producer is not None and producer.type == _QUANTIZED:
            yield _read(file, _bound(producer, "data"), _bound(producer, "scale"))
        elif producer is not None and producer.type == "const":
            yield _read(file, producer.attributes["val"], None)


def _bound(operation: Any, name: str) -> Any:
    return operation.inputs[name].arguments[0].value


def _read(file: WeightFile, data: Any, scales: Any | None) -> tuple[Kernel, Found]:
    place = file.place(data.blobFileValue.offset)
    scale_place = None if scales is None else file.place(scales.blobFileValue.offset)
    kernel = Kernel(
        dtype=_dtype(data),
        shape=_shape(data),
        scales=() if scales is None else _shape(scales),
        data_key=file.digest(place),
        scale_key="" if scale_place is None else file.digest(scale_place),
    )
    return kernel, Found(place, scale_place)


def _dtype(value: Any) -> str:
    from coremltools.proto import MIL_pb2

    name: str = MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    return name


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(dimension.constant.size for dimension in value.type.tensorType.dimensions)
