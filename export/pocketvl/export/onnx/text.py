"""The decoder and its head become two sets of graphs over one data file, and the embeddings a third."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.census import Expected, Location, layer_groups
from pocketvl.export.estimate import component_cost
from pocketvl.export.modules import LMHead, linears
from pocketvl.export.onnx.census import census, expected
from pocketvl.export.onnx.convert import merged_ports, write_graph
from pocketvl.export.onnx.data_file import DataFile, Entry
from pocketvl.export.onnx.folder import data_name, graph_name, in_bundle, name_by_bits
from pocketvl.export.onnx.operators import MatMulNBits, Weights, as_float32, block_size, emit
from pocketvl.export.onnx.text_graph import Decoder, HostDecoder, MergedDecoder
from pocketvl.export.onnx.weights import external_layers, externalize
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import leaf_sizes, write_table
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import host_graph
from pocketvl.runtime.bundle.manifest import EmbeddingTable, EntryPoint, TensorSpec
from pocketvl.runtime.bundle.signature import Signature

_ROWS = 4096  # copied at a time
_SIGN = np.uint8(0x80)  # two's complement to value + 128
# Of the time of converting: the head is a single layer.
_GRAPHS = {"decoder": 0.45, "head": 0.05, "merged decoder": 0.5}
_STORAGE = {32: "float32", 16: "float16", 8: "offset_int8", 4: "int4"}


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
        bits = self.holds[0].precision.bits
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
    file = name_by_bits(names.EMBED_TOKENS, holds.precision.bits)
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
        precision = Precision(8 * values.itemsize)
        return expected(names.TOKEN_EMBEDDING, precision, values)
    integers = np.memmap(bundle / table.file, np.int8, "r", table.data_offset, shape)
    scales = np.memmap(bundle / table.file, "<f4", "r", table.scales_offset, (table.rows, 1))
    return expected(names.TOKEN_EMBEDDING, Precision(8), integers, scales)


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


def export_text(inputs: ExportInputs, progress: Progress) -> tuple[Component, EmbeddingTable]:
    """Write the graphs of decoder and head, their data file, embed_tokens for transformers.js and, where
    embeddings are not tied, token_embedding.bin.

    Returns the component and the table of token embeddings. One layer's weights are in memory at a time.
    Raises CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    plan, folder, text = inputs.plan, inputs.folder, inputs.plan.geometry.text
    (folder / names.ONNX_FOLDER).mkdir(exist_ok=True)
    decoder, head = Decoder(plan), LMHead(plan)
    merged = graph_name(names.DECODER_MODEL, linears(decoder))
    data = in_bundle(data_name(merged))
    cost = component_cost(names.ONNX, names.TEXT_DECODER, plan.geometry, inputs.settings)
    quantizing, _, converting, checking = parts(progress, cost.seconds)
    _externalize(decoder, head, inputs, folder / data, quantizing)
    entries = (
        host_graph(names.TEXT_DECODER, names.HOST_TEXT_DECODER, plan.geometry),
        host_graph(names.LM_HEAD, names.HOST_LM_HEAD, plan.geometry),
    )
    graphs: dict[str, tuple[nn.Module, EntryPoint | Signature]] = {
        names.HOST_TEXT_DECODER: (HostDecoder(decoder), entries[0]),
        names.HOST_LM_HEAD: (head, entries[1]),
        in_bundle(merged): (MergedDecoder(decoder, head, text), merged_ports(text)),
    }
    own = parts(converting, list(_GRAPHS.values()))
    for (file, (graph, ports)), name, report in zip(graphs.items(), _GRAPHS, own, strict=True):
        report(f"Converting the {name}", 0.0)
        write_graph(graph, ports.inputs, ports.outputs, folder / file)
    checking("Checking the decoder", 0.0)
    found = census({folder / file: graph for file, (graph, _) in graphs.items()})
    of_head = external_layers(head)
    (rows,) = (own for own in of_head if own.layer == names.LM_HEAD)
    groups = (
        *layer_groups(names.TEXT_DECODER, external_layers(decoder), found),
        *layer_groups(names.LM_HEAD, of_head, found),
    )
    if text.tie_word_embeddings:
        table = _tied_table(head, data, found[rows.layer].location)
    else:
        table, group = write_table(inputs.source, plan, folder)
        rows, groups = own_table(folder, table), (*groups, group)
    write_embed_tokens(folder, table, rows)
    progress("Wrote the decoder", 1.0)
    return Component(entries, groups), table


def _externalize(
    decoder: Decoder, head: LMHead, inputs: ExportInputs, path: Path, progress: Progress
) -> None:
    """Write the data file of decoder and head."""
    steps = Steps(progress, "Quantizing the decoder", leaf_sizes(decoder) | leaf_sizes(head))
    with DataFile(path) as data:
        for graph in (decoder, head):
            externalize(graph, inputs.source, inputs.plan.method, data, steps.next)


def _tied_table(head: LMHead, file: str, location: Location) -> EmbeddingTable:
    """The head's own rows in the data file."""
    leaf: Weights = head.head  # type: ignore[assignment]
    (rows,) = leaf.holds
    return EmbeddingTable(
        file=file,
        rows=rows.shape[0],
        columns=rows.shape[1],
        storage=_STORAGE[rows.precision.bits],
        data_offset=location.data,
        scales_offset=location.scales,
        scales_dtype=None if location.scales is None else "float32",
        group_size=leaf.block if isinstance(leaf, MatMulNBits) else None,
    )
