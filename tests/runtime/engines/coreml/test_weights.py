"""weight.bin as coremltools' own writer writes it, and every way that it can be damaged."""

import struct
from pathlib import Path

import numpy as np
import pytest
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobWriter

from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import BundleError

WHOLE_BYTES = {
    "float32": ("float", np.float32),
    "int8": ("int8", np.int8),
    "uint8": ("uint8", np.uint8),
    "int16": ("int16", np.int16),
    "uint16": ("uint16", np.uint16),
    "int32": ("int32", np.int32),
    "uint32": ("uint32", np.uint32),
}
SUB_BYTE = {
    "int4": (-8, 8),
    "uint1": (0, 2),
    "uint2": (0, 4),
    "uint3": (0, 8),
    "uint4": (0, 16),
    "uint6": (0, 64),
}


def write(path: Path, writer_name: str, values: np.ndarray) -> int:
    """The offset of the values' record; another value stands before it."""
    writer = BlobWriter(str(path))
    writer.write_int8_data(np.arange(3, dtype=np.int8))
    return int(getattr(writer, f"write_{writer_name}_data")(values))


@pytest.mark.parametrize("dtype", WHOLE_BYTES)
def test_values_of_whole_bytes(tmp_path: Path, dtype: str) -> None:
    name, numpy_type = WHOLE_BYTES[dtype]
    values = np.random.default_rng(0).integers(0, 100, 15).astype(numpy_type)
    offset = write(tmp_path / "weight.bin", name, values)
    read = WeightFile(tmp_path / "weight.bin").read("w", offset, TensorType(dtype, (3, 5)))
    assert read.dtype == numpy_type
    np.testing.assert_array_equal(read, values.reshape(3, 5))


def test_float16(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=6).astype(np.float16)
    offset = write(tmp_path / "weight.bin", "fp16", values.view(np.uint16))
    read = WeightFile(tmp_path / "weight.bin").read("w", offset, TensorType("float16", (6,)))
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("dtype", SUB_BYTE)
@pytest.mark.parametrize("shape", [(4, 8), (3, 5), (1,), (7,)])
def test_values_below_a_byte(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    low, high = SUB_BYTE[dtype]
    values = np.random.default_rng(0).integers(low, high, shape).astype(np.int8 if low else np.uint8)
    offset = write(tmp_path / "weight.bin", dtype, values.reshape(-1))
    read = WeightFile(tmp_path / "weight.bin").read("w", offset, TensorType(dtype, shape))
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@pytest.fixture
def int4(tmp_path: Path) -> tuple[Path, int, TensorType]:
    path = tmp_path / "weight.bin"
    return path, write(path, "int4", np.zeros(15, np.int8)), TensorType("int4", (3, 5))


def refusal(case: tuple[Path, int, TensorType]) -> str:
    path, offset, kind = case
    with pytest.raises(BundleError) as error:
        WeightFile(path).check("proj.weight", offset, kind)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_sound_value_passes(int4: tuple[Path, int, TensorType]) -> None:
    path, offset, kind = int4
    WeightFile(path).check("proj.weight", offset, kind)


@pytest.mark.parametrize("cut", [1, 60, 100])
def test_a_file_cut_off_is_refused(int4: tuple[Path, int, TensorType], cut: int) -> None:
    path, offset, _ = int4
    path.write_bytes(path.read_bytes()[: offset + 64 + 7 if cut == 1 else -cut])
    assert "'proj.weight'" in refusal(int4)


@pytest.mark.parametrize("size", [0, 63])
def test_a_file_without_a_header_is_refused(int4: tuple[Path, int, TensorType], size: int) -> None:
    int4[0].write_bytes(int4[0].read_bytes()[:size])
    assert "header" in refusal(int4)


def test_another_version_is_refused(int4: tuple[Path, int, TensorType]) -> None:
    data = bytearray(int4[0].read_bytes())
    data[4] = 1
    int4[0].write_bytes(data)
    assert "version 1" in refusal(int4)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        WeightFile(tmp_path / "weight.bin")


@pytest.mark.parametrize("shift", [-64, 64, 1, 1 << 40])
def test_an_offset_without_a_record_is_refused(int4: tuple[Path, int, TensorType], shift: int) -> None:
    path, offset, kind = int4
    assert "record" in refusal((path, offset + shift, kind))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TensorType("uint4", (3, 5)), "as int4, but the program says uint4"),
        (TensorType("int4", (3, 4)), "takes 6"),
        (TensorType("int4", (4, 4)), "takes 8"),
        (TensorType("int4", (16,)), "takes 8"),
    ],
)
def test_another_type_is_refused(int4: tuple[Path, int, TensorType], kind: TensorType, text: str) -> None:
    path, offset, _ = int4
    if kind.size == 16:  # as many bytes, but one element more
        data = bytearray(path.read_bytes())
        struct.pack_into("<Q", data, offset + 8, 9)
        path.write_bytes(data)
    assert text in refusal((path, offset, kind))


def test_a_wrong_sentinel_is_refused(int4: tuple[Path, int, TensorType]) -> None:
    path, offset, _ = int4
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    assert f"has no record at byte {offset}" in refusal(int4)


@pytest.mark.parametrize(("place", "value"), [(8, 1 << 62), (16, 1 << 62), (16, 1 << 20), (4, 99)])
def test_a_record_that_lies_is_refused(int4: tuple[Path, int, TensorType], place: int, value: int) -> None:
    path, offset, _ = int4
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q" if place > 4 else "<I", data, offset + place, value)
    path.write_bytes(data)
    assert "'proj.weight'" in refusal(int4)
