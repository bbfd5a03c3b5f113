"""The decoder becomes text_decoder.mlpackage or several of its chunks; the head becomes head.mlpackage.

The head's package holds token embeddings and logits, over one table where embeddings are tied.
"""

from pathlib import Path

import torch
from torch import nn

from pocketvl.export.census import Location, layer_groups
from pocketvl.export.component import ExportSettings, TensorSource
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.function import Signature, StoredWeight, build_function, prepare, stored, zeros
from pocketvl.export.coreml.package import WEIGHT_FILE, describe, write_package
from pocketvl.export.coreml.text_graph import DecoderChunk
from pocketvl.export.estimate import component_cost
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear, LMHead
from pocketvl.export.progress import Progress, Steps, part, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import leaf_sizes
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import package_decoder, package_head, token_counts
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable, EntryPoint, LayerGroup, TensorSpec
from pocketvl.runtime.errors import UsageError

_SUMMARY = "Token ids to embeddings, hidden states to logits"
_STORAGE = {32: "float16", 16: "float16", 8: "int8", 4: "signed_int4"}
_HEAD_WRITTEN = 0.1  # share of the time
_STATE_MULTIPLE = 32  # Core ML's states need it


class TokenEmbedding(nn.Module):
    """Token ids int32 (1, T) to rows of the table (1, T, D)."""

    def __init__(self, geometry: TextGeometry) -> None:
        super().__init__()
        # A linear layer's leaf: what is stored for it takes the place of its weight, as everywhere.
        table = Layer("", "", geometry.vocab_size, geometry.hidden_size, bias=False)
        self.table = Linear(table, Precision(32))
        self.table.weight = zeros(geometry.vocab_size, geometry.hidden_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(ids, self.table.weight)


def export_head(inputs: ExportInputs, progress: Progress) -> tuple[Component, EmbeddingTable]:
    """Write head.mlpackage with the functions lm_head and token_embedding.

    Also returns where the rows stand in its weight.bin, for hosts that gather them from a memory map. Raises
    as export_text does.
    """
    plan, text = inputs.plan, inputs.plan.geometry.text
    head = LMHead(plan)
    progress("Quantizing the head", 0.0)
    weights = prepare(head, inputs.source, plan.method, lambda _: None)
    output = weights["head"]
    table = output if text.tie_word_embeddings else _own_table(inputs.source, plan)
    progress("Converting the head", 0.5)
    entries = package_head(text, inputs.settings.prefill_chunk)
    signatures = [Signature.of(entry) for entry in entries]
    functions = {
        names.LM_HEAD: build_function(head, signatures[0], weights),
        names.TOKEN_EMBEDDING: build_function(TokenEmbedding(text), signatures[1], {"table": table}),
    }
    path = inputs.folder / names.HEAD_PACKAGE
    write_package(path, functions, describe(_SUMMARY, plan, {}))
    wanted = {names.LM_HEAD: expected(weights.values()), names.TOKEN_EMBEDDING: expected([table])}
    found = census(path, wanted)
    groups = layer_groups(names.LM_HEAD, wanted[names.LM_HEAD], found)
    if table is not output:
        groups += layer_groups(names.TOKEN_EMBEDDING, wanted[names.TOKEN_EMBEDDING], found)
    progress("Wrote the head", 1.0)
    return Component(entries, groups), _embedding_table(path, table, found[table.layer].location)


def _own_table(source: TensorSource, plan: LayerPlan) -> StoredWeight:
    """A table beside the head."""
    text = plan.geometry.text
    layer = Layer(names.TOKEN_EMBEDDING, "model.embed_tokens", text.vocab_size, text.hidden_size, bias=False)
    return stored(Linear(layer, plan.table_bits), source, "rtn")


def _embedding_table(path: Path, table: StoredWeight, location: Location) -> EmbeddingTable:
    rows, columns = table.data.shape
    return EmbeddingTable(
        file=f"{path.name}/{WEIGHT_FILE}",
        rows=rows,
        columns=columns,
        storage=_STORAGE[table.precision.bits],
        data_offset=location.data,
        scales_offset=location.scales,
        scales_dtype=None if location.scales is None else "float16",
        group_size=None if location.scales is None else table.precision.group_size or columns,
    )


def export_text(inputs: ExportInputs, progress: Progress) -> tuple[Component, EmbeddingTable]:
    """Write head.mlpackage, and text_decoder.mlpackage or text_decoder_0.mlpackage ..

    One chunk is in memory at a time. Raises UsageError for settings that Core ML cannot take,
    CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    spans = chunk_spans(inputs.plan.geometry.text, inputs.settings)
    head, table = export_head(inputs, part(progress, 0.0, _HEAD_WRITTEN))
    entries: list[EntryPoint] = []
    layers: list[LayerGroup] = []
    for index, span in enumerate(spans):
        start, end = (_HEAD_WRITTEN + (1 - _HEAD_WRITTEN) * (index + i) / len(spans) for i in (0, 1))
        file = names.text_decoder_package(index, len(spans))
        chunk = _export_chunk(inputs, span, inputs.folder / file, part(progress, start, end))
        entries += chunk.entry_points
        layers += chunk.layers
    return Component((*entries, *head.entry_points), (*_summed(layers), *head.layers)), table


def chunk_spans(text: TextGeometry, settings: ExportSettings) -> tuple[range, ...]:
    """Neighbouring layers for each chunk, the first ones larger by one. Raises UsageError."""
    count, chunks = text.num_layers, settings.decoder_chunks
    if chunks > count:
        raise UsageError(f"--decoder-packages {chunks} is more than the model's {count} layers.")
    if settings.max_context % _STATE_MULTIPLE:
        raise UsageError(
            f"--max-context {settings.max_context}: Core ML's key-value cache needs a multiple of"
            f" {_STATE_MULTIPLE}."
        )
    small, larger = divmod(count, chunks)
    ends = [small * (index + 1) + min(index + 1, larger) for index in range(chunks)]
    return tuple(range(start, end) for start, end in zip([0, *ends], ends, strict=False))


def decoder_states(text: TextGeometry, max_context: int, layers: int) -> tuple[TensorSpec, TensorSpec]:
    """The key-value cache of a chunk of so many layers."""
    shape = (layers, text.num_kv_heads, max_context, text.head_dim)
    return TensorSpec(names.K_CACHE, "float16", shape), TensorSpec(names.V_CACHE, "float16", shape)


def _export_chunk(inputs: ExportInputs, span: range, path: Path, progress: Progress) -> Component:
    plan, settings, text = inputs.plan, inputs.settings, inputs.plan.geometry.text
    chunk = DecoderChunk(plan, settings.max_context, span)
    cost = component_cost(names.COREML, names.TEXT_DECODER, plan.geometry, settings)
    quantizing, _, converting, writing = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the decoder", leaf_sizes(chunk))
    weights = prepare(chunk, inputs.source, plan.method, steps.next)
    wanted = expected(weights.values())
    counts = token_counts(settings.prefill_chunk)
    entries = tuple(package_decoder(text, settings.max_context, tokens, path.name) for tokens in counts)
    states = decoder_states(text, settings.max_context, len(span))
    functions = {}
    for index, (entry, tokens) in enumerate(zip(entries, counts, strict=True)):
        converting(f"Converting the decoder for {tokens} tokens", index / len(entries))
        functions[entry.method] = build_function(chunk, Signature.of(entry, states), weights)
    writing("Writing the decoder", 0.0)
    facts: dict[str, int | str] = {
        "first_layer": span.start,
        "layers": len(span),
        "max_context": settings.max_context,
        "prefill_chunk": settings.prefill_chunk,
    }
    write_package(path, functions, describe("Decoder layers over a cache", plan, facts))
    found = census(path, dict.fromkeys(functions, wanted))
    progress("Wrote the decoder", 1.0)
    return Component(entries, layer_groups(names.TEXT_DECODER, wanted, found))


def _summed(groups: list[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Groups of the same bits in several chunks are one."""
    kinds = dict.fromkeys((group.component, group.bits, group.group_size) for group in groups)
    alike = [[g for g in groups if (g.component, g.bits, g.group_size) == kind] for kind in kinds]
    return tuple(
        LayerGroup(
            *kind, sum(g.layers for g in same), sum(g.parameters for g in same), sum(g.bytes for g in same)
        )
        for kind, same in zip(kinds, alike, strict=True)
    )
