"""Token embeddings of a tied model are the head's own rows, inside text_decoder.pte."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvl.export.census import Expected, Kernel, key_of
from pocketvl.export.modules import Linear
from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.errors import ExportError
from pocketvl.runtime.manifest import EmbeddingTable

_STORAGE = {32: "float32", 8: "int8", 4: "int4"}
_SCALES = {32: None, 8: "float32", 4: "bfloat16"}
_ROWS_PROBED = 16


@dataclass(frozen=True)
class Probe:
    """A few rows of the head as they were quantized, to test the table with."""

    rows: tuple[int, ...]
    values: NDArray[np.float32]  # (rows, columns)

    @classmethod
    def of(cls, head: Linear) -> "Probe":
        """Rows spread over the whole of a filled head, first and last among them."""
        rows = np.linspace(0, head.out_features - 1, min(_ROWS_PROBED, head.out_features)).astype(np.int64)
        if head.bits.is_float:
            values = head.weight.detach()[rows]
        else:
            integers, scales = head.weight.qdata[rows], head.weight.scale[rows]  # type: ignore[attr-defined]
            grouped = integers.reshape(len(rows), scales.shape[1], -1) * scales[:, :, None]
            values = grouped.reshape(len(rows), head.in_features)
        return cls(tuple(map(int, rows)), values.float().numpy())


def tied_table(path: Path, head: Expected, kernel: Kernel, probe: Probe) -> EmbeddingTable:
    """The head's rows inside the .pte file `path`, where the census found them.

    The census compares hashes that the file states; here the bytes are hashed again and the probed rows
    compared. Raises ExportError if the rows or their scales hold something else.
    """
    (rows, columns), bits, location = head.shape, head.bits.bits, kernel.location
    size = rows * columns * bits // 8
    _check_bytes(path, location.data, size, kernel.weight_key)
    if location.scales is not None:
        _check_bytes(path, location.scales, kernel.bytes - size, kernel.scale_key)
    table = EmbeddingTable(
        file=path.name,
        rows=rows,
        columns=columns,
        storage=_STORAGE[bits],
        data_offset=location.data,
        scales_offset=location.scales,
        scales_dtype=_SCALES[bits],
        group_size=None if head.bits.is_float else head.bits.group_size or columns,
    )
    if not np.array_equal(EmbeddingMap(path, table).gather(probe.rows), probe.values):
        raise _moved(path)
    return table


def _check_bytes(path: Path, offset: int, size: int, key: str | None) -> None:
    if key_of(np.memmap(path, np.uint8, "r", offset, (size,))) != key:
        raise _moved(path)


def _moved(path: Path) -> ExportError:
    return ExportError(
        f"{path.name} does not hold the rows of the lm_head as it says, from which token embeddings are read;"
        " a newer executorch may store them differently: install executorch==1.4.1."
    )
