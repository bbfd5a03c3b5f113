"""A Core ML program as plain frozen data."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.tensor_type import TensorType


@dataclass(frozen=True)
class Port:
    """A named value: an input, a state or what an operation puts out."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Reference:
    """An argument that is a value computed, or given, before."""

    name: str


@dataclass(frozen=True)
class Stored:
    """A value in the weight file."""

    offset: int  # bytes, of its record
    type: TensorType


@dataclass(frozen=True, eq=False)
class Literal:
    """A value that stands in the program: a scalar or array, a text, or a tuple of those."""

    value: NDArray[Any] | str | tuple[Any, ...]


Source = Reference | Stored | Literal


@dataclass(frozen=True, eq=False)
class Operation:
    type: str
    name: str
    arguments: dict[str, tuple[Source, ...]]  # several sources only for a parameter that takes a list
    outputs: tuple[Port, ...]


@dataclass(frozen=True, eq=False)
class FunctionProgram:
    name: str
    inputs: tuple[Port, ...]
    states: tuple[Port, ...]
    operations: tuple[Operation, ...]  # in the order of computing
    outputs: tuple[str, ...]
