"""Element types of Core ML programs, and how their bytes become numpy arrays.

Numbers of the program: enum DataType in mlmodel/format/MIL.proto of coremltools. Numbers of the weight
file: enum BlobDataType in mlmodel/src/MILBlob/Blob/BlobDataType.hpp there.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DType:
    name: str  # numpy's name, or the like for what numpy lacks: int4, uint4, ...
    program: int  # number in the program
    blob: int | None  # number in the weight file; None: never there
    bits: int
    numpy: str  # what holds one element in memory


_DTYPES = (
    DType("bool", 1, None, 8, "bool"),
    DType("str", 2, None, 0, "str"),
    DType("float16", 10, 1, 16, "<f2"),
    DType("float32", 11, 2, 32, "<f4"),
    DType("int8", 21, 4, 8, "int8"),
    DType("int16", 22, 6, 16, "<i2"),
    DType("int32", 23, 14, 32, "<i4"),
    DType("int64", 24, None, 64, "<i8"),
    DType("int4", 25, 8, 4, "int8"),
    DType("uint8", 31, 3, 8, "uint8"),
    DType("uint16", 32, 7, 16, "<u2"),
    DType("uint32", 33, 15, 32, "<u4"),
    DType("uint4", 35, 11, 4, "uint8"),
    DType("uint2", 36, 10, 2, "uint8"),
    DType("uint1", 37, 9, 1, "uint8"),
    DType("uint6", 38, 13, 6, "uint8"),
    DType("uint3", 39, 12, 3, "uint8"),
)
DTYPES = {dtype.name: dtype for dtype in _DTYPES}
BY_PROGRAM_NUMBER = {dtype.program: dtype for dtype in _DTYPES}
BY_BLOB_NUMBER = {dtype.blob: dtype for dtype in _DTYPES if dtype.blob is not None}


@dataclass(frozen=True)
class TensorType:
    """A tensor's element type, by name, and its static shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Precision of all elements, packed."""
        return self.size * DTYPES[self.dtype].bits

    @property
    def bytes(self) -> int:
        """Bytes of all elements, packed."""
        return -(-self.bits // 8)

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(DTYPES[self.dtype].numpy)

    @property
    def is_float(self) -> bool:
        return self.dtype in ("float16", "float32")

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def from_bytes(packed: NDArray[np.uint8], kind: TensorType) -> NDArray[Any]:
    """`kind.bytes` bytes (uint8) as an array of kind.shape; elements below 8 bits become int8 or uint8.

    A view where an element has whole bytes. Sub-byte elements are packed from the lowest bit on
    (docstring of coremltools' constexpr_lut_to_dense).
    """
    dtype = DTYPES[kind.dtype]
    if dtype.bits >= 8:
        return packed.view(kind.numpy).reshape(kind.shape)
    return _unpack(packed, dtype, kind.size).reshape(kind.shape)


def _unpack(packed: NDArray[np.uint8], dtype: DType, count: int) -> NDArray[Any]:
    values: NDArray[np.uint8]
    if 8 % dtype.bits == 0:
        columns = np.empty((len(packed), 8 // dtype.bits), np.uint8)
        for position in range(columns.shape[1]):
            columns[:, position] = (packed >> (position * dtype.bits)) & ((1 << dtype.bits) - 1)
        values = columns.reshape(-1)[:count]
    else:  # an element may lie in two bytes
        bits = np.unpackbits(packed, count=count * dtype.bits, bitorder="little").reshape(count, dtype.bits)
        values = np.packbits(bits, axis=1, bitorder="little").reshape(-1)
    if dtype.name != "int4":
        return values
    signed: NDArray[np.int8] = (values ^ 8).view(np.int8) - np.int8(8)  # two's complement
    return signed
