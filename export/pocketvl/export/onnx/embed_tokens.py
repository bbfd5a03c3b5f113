"""The table of embeddings as a graph of its own, which transformers.js needs and our own runtime does not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvl.export.census import Expected
from pocketvl.export.onnx.census import census, expected
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile, Entry
from pocketvl.export.onnx.folder import data_name, name_by_bits
from pocketvl.export.onnx.operators import Weights, as_float32, block_size, emit
from pocketvl.quant.recipe import Bits
from pocketvl.runtime import names
from pocketvl.runtime.manifest import EmbeddingTable, TensorSpec

_ROWS = 4096  # copied at a time
_SIGN = np.uint8(0x80)  # two's complement to value + 128


class Rows(Weights):
    """ids int64 (1, S) to rows (1, S, columns) of one table: entries weight and, of integers, scales.

    Integers become numbers by plain arithmetic: the build of onnxruntime-web that transformers.js takes has
    GatherBlockQuantized for WebGPU alone.
    weight: uint8 (rows, columns * bits / 8), values as MatMulNBits stores them, or float32 or
    float16 (rows, columns).
    """

    weight: torch.nn.Parameter

    def __init__(self, entries: Mapping[str, Entry], table: Expected, block: int | None) -> None:
        super().__init__(entries, [table])
        self.block = block

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        stored = as_float32(_gather(self.weight, ids))
        if self.block is None:
            return stored
        bits = self.holds[0].bits.bits
        if bits == 4:
            high = torch.floor(stored / 16)
            stored = torch.stack((stored - 16 * high, high), dim=-1).flatten(-2)
        blocks = (stored - 2.0 ** (bits - 1)).reshape(*ids.shape, -1, self.block)
        scaled: torch.Tensor = blocks * _gather(self.get_parameter("scales"), ids)[..., None]
        return scaled.flatten(-2)


def _gather(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return emit("Gather", [table, ids], {"axis": 0}, (*ids.shape, table.shape[1]), table.dtype)


class EmbedTokens(torch.nn.Module):
    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.rows(ids)
        return embeddings


def write_embed_tokens(bundle: Path, table: EmbeddingTable, holds: Expected) -> None:
    """Write embed_tokens and its data file: the rows that the manifest's table describes, copied.

    transformers.js passes a session only the data file that is called as its graph, hence the copy. holds:
    what the table is. Raises CensusError, ExportError, MissingExtraError.
    """
    folder = bundle / names.ONNX_FOLDER
    file = name_by_bits(names.EMBED_TOKENS, holds.bits.bits)
    with DataFile(folder / data_name(file)) as data:
        entries, block = copy_table(bundle / table.file, table, data)
    graph = EmbedTokens(Rows(entries, holds, block))
    path = folder / file
    ids = TensorSpec("input_ids", "int64", (1, "tokens"))
    write_graph(graph, [ids], [TensorSpec("inputs_embeds", "float32", (1, "tokens", table.columns))], path)
    census({path: graph})


def own_table(bundle: Path, table: EmbeddingTable) -> Expected:
    """What token_embedding.bin holds: a table that is not the head's."""
    shape = (table.rows, table.columns)
    if table.scales_offset is None:
        values = np.memmap(bundle / table.file, table.storage, "r", table.data_offset, shape)
        bits = Bits(8 * values.itemsize)
        return expected(names.TOKEN_EMBEDDING, bits, values)
    integers = np.memmap(bundle / table.file, np.int8, "r", table.data_offset, shape)
    scales = np.memmap(bundle / table.file, "<f4", "r", table.scales_offset, (table.rows, 1))
    return expected(names.TOKEN_EMBEDDING, Bits(8), integers, scales)


def copy_table(path: Path, table: EmbeddingTable, data: DataFile) -> tuple[dict[str, Entry], int | None]:
    """Append the table in the file `path` as Rows takes it; returns its entries and, of integers, its block.

    A few thousand rows are in memory at a time.
    """
    stored = np.memmap(path, np.uint8, "r", table.data_offset, (table.rows, table.row_bytes))
    if table.scales_offset is None or table.group_size is None:
        return {"weight": data.write(stored.view(table.storage))}, None
    groups = table.columns // table.group_size
    scales: NDArray[np.float32] = np.memmap(path, "<f4", "r", table.scales_offset, (table.rows, groups))
    block = block_size(table.columns, table.group_size)
    repeats = table.group_size // block
    integers, repeated = _parts(stored), (np.repeat(part, repeats, axis=1) for part in _parts(scales))
    if table.storage == "int8":
        integers = (part ^ _SIGN for part in integers)
    weight = data.write_parts(stored.shape, stored.dtype, integers)
    blocks = (table.rows, groups * repeats)
    return {"weight": weight, "scales": data.write_parts(blocks, scales.dtype, repeated)}, block


def _parts(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS))
