"""Token embeddings and logits become head.mlpackage, over one table where embeddings are tied."""

from pathlib import Path

import torch
from torch import nn

from pocketvl.export.census import Location, layer_groups
from pocketvl.export.component import TensorSource
from pocketvl.export.coreml.census import census, expected
from pocketvl.export.coreml.function import Signature, StoredWeight, build_function, prepare, stored, zeros
from pocketvl.export.coreml.package import WEIGHT_FILE, describe, write_package
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear, LMHead
from pocketvl.export.progress import Progress
from pocketvl.export.target import Component, ExportInputs
from pocketvl.quant.recipe import Bits
from pocketvl.runtime import names
from pocketvl.runtime.entry_points import package_head
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import EmbeddingTable

_SUMMARY = "Token ids to embeddings, hidden states to logits"
_STORAGE = {32: "float16", 16: "float16", 8: "int8", 4: "signed_int4"}


class TokenEmbedding(nn.Module):
    """Token ids int32 (1, T) to rows of the table (1, T, D)."""

    def __init__(self, geometry: TextGeometry) -> None:
        super().__init__()
        # A linear layer's leaf: what is stored for it takes the place of its weight, as everywhere.
        table = Layer("", "", geometry.vocab_size, geometry.hidden_size, bias=False)
        self.table = Linear(table, Bits(32))
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
    (output,) = weights.values()
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
    wanted = {names.LM_HEAD: expected([output]), names.TOKEN_EMBEDDING: expected([table])}
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
        storage=_STORAGE[table.bits.bits],
        data_offset=location.data,
        scales_offset=location.scales,
        scales_dtype=None if location.scales is None else "float16",
        group_size=None if location.scales is None else table.bits.group_size or columns,
    )
