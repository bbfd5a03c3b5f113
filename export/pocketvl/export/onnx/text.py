"""The decoder and its head become two sets of graphs over one data file, and the embeddings a third."""

from pathlib import Path

from torch import nn

from pocketvl.export.component import Component, ExportSettings, Progress, TensorSource
from pocketvl.export.embedding_table import write_table
from pocketvl.export.layer_groups import layer_groups
from pocketvl.export.lm_head import LMHead
from pocketvl.export.modules import linears
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.embed_tokens import own_table, write_embed_tokens
from pocketvl.export.onnx.expected import stored_layers
from pocketvl.export.onnx.externalize import expected, place
from pocketvl.export.onnx.files import data_name, graph_name, in_bundle
from pocketvl.export.onnx.operators import MatMulNBits, Weights
from pocketvl.export.onnx.ports import entry_point, merged_ports
from pocketvl.export.onnx.text_graph import Decoder, HostDecoder, MergedDecoder
from pocketvl.export.steps import Steps
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.manifest import EmbeddingTable, EntryPoint
from pocketvl.runtime.onnx.ports import Ports

_PLACED, _CONVERTED = 0.6, 0.9  # of the time
_STORAGE = {32: "float32", 16: "float16", 8: "offset_int8", 4: "int4"}


def export_text_onnx(
    source: TensorSource,
    recipe: Recipe,
    settings: ExportSettings,
    eos: tuple[int, ...],
    folder: Path,
    progress: Progress,
) -> tuple[Component, EmbeddingTable]:
    """Write the graphs of decoder and head, their data file, embed_tokens for transformers.js and, where
    embeddings are not tied, token_embedding.bin.

    Returns the component and the table of token embeddings. One layer's weights are in memory at a time.
    Raises CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    text = source.geometry.text
    (folder / names.ONNX_FOLDER).mkdir(exist_ok=True)
    decoder, head = Decoder(text, recipe), LMHead(text, recipe)
    merged = graph_name(names.DECODER_MODEL, linears(decoder))
    data = in_bundle(data_name(merged))
    _place(decoder, head, source, recipe, folder / data, progress)
    progress("Converting the decoder", _PLACED)
    entries = (
        entry_point(names.TEXT_DECODER, names.HOST_TEXT_DECODER, source.geometry),
        entry_point(names.LM_HEAD, names.HOST_LM_HEAD, source.geometry),
    )
    graphs: dict[str, tuple[nn.Module, EntryPoint | Ports]] = {
        names.HOST_TEXT_DECODER: (HostDecoder(decoder), entries[0]),
        names.HOST_LM_HEAD: (head, entries[1]),
        in_bundle(merged): (MergedDecoder(decoder, head, text), merged_ports(text)),
    }
    for file, (graph, ports) in graphs.items():
        write_graph(graph, ports.inputs, ports.outputs, folder / file)
    progress("Checking the decoder", _CONVERTED)
    census({folder / file: graph for file, (graph, _) in graphs.items()})
    groups = (
        *layer_groups(names.TEXT_DECODER, stored_layers(expected(decoder))),
        *layer_groups(names.LM_HEAD, stored_layers(expected(head))),
    )
    if text.tie_word_embeddings:
        table, holds = _tied_table(head, data), expected(head)[0]
    else:
        table, group = write_table(source, text, expected(head)[0].bits, folder)
        holds = own_table(folder, table)
        groups = (*groups, group)
    write_embed_tokens(folder, table, holds)
    progress("Wrote the decoder", 1.0)
    return Component(entries, groups), table


def _place(
    decoder: Decoder, head: LMHead, source: TensorSource, recipe: Recipe, path: Path, progress: Progress
) -> None:
    """Write the data file of decoder and head."""
    leaves = sum(1 for graph in (decoder, head) for _ in graph.parameters())
    steps = Steps(progress, "Quantizing the decoder", 0.0, _PLACED, leaves)
    with DataFile(path) as data:
        place(decoder, source, recipe.method, data, steps.next)
        place(head, source, recipe.method, data, steps.next)


def _tied_table(head: LMHead, file: str) -> EmbeddingTable:
    """The head's own rows in the data file."""
    leaf: Weights = head.head  # type: ignore[assignment]
    scales = leaf.entries.get("scales")
    return EmbeddingTable(
        file=file,
        rows=leaf.out_features,
        columns=leaf.in_features,
        storage=_STORAGE[leaf.holds[0].bits.bits],
        data_offset=leaf.entries["weight"].offset,
        scales_offset=None if scales is None else scales.offset,
        scales_dtype=None if scales is None else "float32",
        group_size=leaf.block if isinstance(leaf, MatMulNBits) else None,
    )
