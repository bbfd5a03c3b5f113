"""The decoder and its head become two sets of graphs over one data file, and the embeddings a third."""

from pathlib import Path

from torch import nn

from pocketvl.export.census import Location, layer_groups
from pocketvl.export.cost import component_cost
from pocketvl.export.embedding_table import write_table
from pocketvl.export.modules import LMHead, linears
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import merged_ports, write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.embed_tokens import own_table, write_embed_tokens
from pocketvl.export.onnx.folder import data_name, graph_name, in_bundle
from pocketvl.export.onnx.operators import MatMulNBits, Weights
from pocketvl.export.onnx.text_graph import Decoder, HostDecoder, MergedDecoder
from pocketvl.export.onnx.weights import external_layers, externalize
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import leaf_sizes
from pocketvl.runtime import names
from pocketvl.runtime.entry_points import host_graph
from pocketvl.runtime.manifest import EmbeddingTable, EntryPoint
from pocketvl.runtime.onnx.ports import Ports

# Of the time of converting: the head is a single layer.
_GRAPHS = {"decoder": 0.45, "head": 0.05, "merged decoder": 0.5}
_STORAGE = {32: "float32", 16: "float16", 8: "offset_int8", 4: "int4"}


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
    graphs: dict[str, tuple[nn.Module, EntryPoint | Ports]] = {
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
    (rows,) = external_layers(head)
    groups = (
        *layer_groups(names.TEXT_DECODER, external_layers(decoder), found),
        *layer_groups(names.LM_HEAD, [rows], found),
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
        storage=_STORAGE[rows.bits.bits],
        data_offset=location.data,
        scales_offset=location.scales,
        scales_dtype=None if location.scales is None else "float32",
        group_size=leaf.block if isinstance(leaf, MatMulNBits) else None,
    )
