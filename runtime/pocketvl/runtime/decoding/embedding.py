"""Token embeddings, gathered row by row from a memory-mapped file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.errors import BundleError, EngineError


class EmbeddingMap:
    """The table that `table` describes inside the file `path`; only rows asked for are ever read."""

    def __init__(self, path: Path, table: EmbeddingTable) -> None:
        """Raises BundleError if the file is missing or ends before the table does."""
        if table.storage.endswith("int4") and table.columns % 2:
            raise BundleError(
                f"{path} has an {table.storage} table of {table.columns} columns, but two columns share a"
                " byte; export the bundle again."
            )
        try:
            size = path.stat().st_size
            if size < table.end:
                raise BundleError(
                    f"{path} has {size} bytes, but its embedding table ends at {table.end};"
                    " the file is cut off: copy or export the bundle again."
                )
            self._bytes = np.memmap(path, np.uint8, mode="r")
        except OSError as error:
            raise BundleError(
                f"The embedding table {path} cannot be read ({error.strerror}); copy the bundle again."
            ) from None
        self._table = table
        self._rows = self._section(table.data_offset, table.row_bytes)
        self._scales = None
        if table.scales_offset is not None and table.group_size is not None:
            width = 4 if table.scales_dtype == "float32" else 2
            self._scales = self._section(table.scales_offset, table.columns // table.group_size * width)

    def gather(self, ids: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """(S, columns) float32, a copy, for S token ids. Raises EngineError for an id outside the table."""
        index = np.asarray(ids, np.int64).reshape(-1)
        outside = index[(index < 0) | (index >= self._table.rows)]
        if outside.size:
            raise EngineError(
                f"Token id {outside[0]} is outside the embedding table of {self._table.rows} rows;"
                " the tokenizer and the weights do not belong together."
            )
        stored = np.ascontiguousarray(self._rows[index])
        values = self._values(stored)
        if self._scales is None:
            return values
        scales = self._read_scales(np.ascontiguousarray(self._scales[index]))
        grouped = values.reshape(len(index), scales.shape[1], -1) * scales[:, :, None]
        return grouped.reshape(len(index), self._table.columns)

    def _section(self, offset: int, row_bytes: int) -> NDArray[np.uint8]:
        end = offset + self._table.rows * row_bytes
        return self._bytes[offset:end].reshape(self._table.rows, row_bytes)

    def _values(self, stored: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Stored rows as numbers, not yet scaled."""
        match self._table.storage:
            case "float32":
                return stored.view("<f4").astype(np.float32)
            case "float16":
                return stored.view("<f2").astype(np.float32)
            case "int8":
                return stored.view(np.int8).astype(np.float32)
            case "offset_int8":
                return stored.astype(np.float32) - np.float32(128)
            case storage:  # low nibble first; int4: value + 8, signed_int4: its sign bit flipped
                flipped = stored ^ np.uint8(0x88) if storage == "signed_int4" else stored
                nibbles = np.stack([flipped & 0xF, flipped >> 4], axis=-1)
                return nibbles.reshape(len(stored), -1).astype(np.float32) - np.float32(8)

    def _read_scales(self, stored: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._table.scales_dtype == "float32":
            return stored.view("<f4").astype(np.float32)
        if self._table.scales_dtype == "float16":
            return stored.view("<f2").astype(np.float32)
        # bfloat16 is the upper half of a float32.
        return (stored.view("<u2").astype(np.uint32) << 16).view(np.float32)
