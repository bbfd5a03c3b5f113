"""The table from which the host gathers token embeddings: the head's own rows where they are tied."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvl.export.component import TensorSource
from pocketvl.export.executorch.census import Expected
from pocketvl.export.executorch.pte import Range, read_pte
from pocketvl.export.half import as_float16
from pocketvl.export.modules import Linear
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Bits
from pocketvl.runtime import names
from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.errors import CheckpointError, ExportError
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import EmbeddingTable, LayerGroup

_SOURCE = "model.embed_tokens.weight"
_STORAGE = {32: "float32", 16: "float16", 8: "int8", 4: "int4"}
_SCALES = {32: None, 16: None, 8: "float32", 4: "bfloat16"}
_ROWS_PROBED = 16
_FLOAT_ROWS = 4096  # written at a time


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


def tied_table(path: Path, head: Expected, probe: Probe) -> EmbeddingTable:
    """Where the head's rows stand inside the .pte file `path`.

    XNNPACK's constants are named data of the program, called by the sha256 of their bytes, so no search is
    needed and there can be but one match; the bytes are hashed again and the probed rows compared. Raises
    ExportError if the rows or their scales are missing or hold something else.
    """
    data = read_pte(path).data
    rows, columns = head.shape
    bits = head.bits.bits
    weights = _verified(path, data.get(head.weight_key), head.weight_key)
    scales = _verified(path, data.get(head.scale_key), head.scale_key) if head.scale_key else None
    table = EmbeddingTable(
        file=path.name,
        rows=rows,
        columns=columns,
        storage=_STORAGE[bits],
        data_offset=weights.offset,
        scales_offset=None if scales is None else scales.offset,
        scales_dtype=_SCALES[bits],
        group_size=None if head.bits.is_float else head.bits.group_size or columns,
    )
    if not np.array_equal(EmbeddingMap(path, table).gather(probe.rows), probe.values):
        raise ExportError(
            f"the rows of the lm_head do not stand in {path.name} as they should; a newer executorch may"
            " store them differently: install executorch==1.4.1."
        )
    return table


def write_table(
    source: TensorSource, geometry: TextGeometry, head_bits: Bits, folder: Path
) -> tuple[EmbeddingTable, LayerGroup]:
    """Write token_embedding.bin for a checkpoint whose embeddings are its own.

    The float of a float head, else int8 with a float32 scale per row: rows are looked up and never
    multiplied, so 8 bits cost no speed, and below 8 bits an error goes into every layer. Rows first, the
    scales behind them. Raises CheckpointError for a tensor of another shape or values that are not finite,
    ExportError for values that float16 does not hold.
    """
    rows, columns = geometry.vocab_size, geometry.hidden_size
    weight = source.tensor(_SOURCE)
    if tuple(weight.shape) != (rows, columns):
        raise CheckpointError(
            f"{_SOURCE} has shape {list(weight.shape)}, but the config asks for {[rows, columns]};"
            " are both of one model?"
        )
    path = folder / names.TOKEN_EMBEDDING_FILE
    bits = head_bits if head_bits.is_float else Bits(8)
    with path.open("wb") as file:
        if bits.is_float:
            for first in range(0, rows, _FLOAT_ROWS):
                file.write(_float_rows(weight[first : first + _FLOAT_ROWS], bits).data)
        else:
            quantized = quantize_linear(weight, bits, "rtn", "token_embedding")
            file.write(quantized.integers.data)
            file.write(bytes(-rows * columns % 4))  # aligned for whoever maps the scales as floats
            file.write(quantized.scales.data)
    size = path.stat().st_size
    table = EmbeddingTable(
        file=path.name,
        rows=rows,
        columns=columns,
        storage=_STORAGE[bits.bits],
        data_offset=0,
        scales_offset=None if bits.is_float else size - rows * 4,
        scales_dtype=_SCALES[bits.bits],
        group_size=None if bits.is_float else columns,
    )
    return table, LayerGroup(names.TOKEN_EMBEDDING, bits.bits, None, 1, rows * columns, size)


def _verified(path: Path, place: Range | None, key: str) -> Range:
    if place is not None:
        stored = np.memmap(path, np.uint8, "r", place.offset, (place.size,))
        digest = sha256(stored.data).hexdigest()
        if digest == key.removeprefix("scale_"):
            return place
    raise ExportError(
        f"{path.name} does not hold the rows of the lm_head, from which token embeddings are read; a newer"
        " executorch may store them differently: install executorch==1.4.1."
    )


def _float_rows(rows: torch.Tensor, bits: Bits) -> NDArray[Any]:
    if not torch.isfinite(rows).all():
        raise CheckpointError(f"{_SOURCE} holds NaN or infinite values; was the checkpoint saved completely?")
    values: NDArray[np.float32] = rows.float().contiguous().numpy()
    if bits.bits == 32:
        return values
    return as_float16(values, _SOURCE, "give lm_head, which it follows, 32 or 8 bits by a rule of the recipe")
