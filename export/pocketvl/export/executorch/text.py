"""The decoder and its head become text_decoder.pte."""

from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from pocketvl.export.component import Component, ExportSettings, Progress, TensorSource
from pocketvl.export.embedding_table import Probe, tied_table, write_table
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.xnnpack import load_custom_ops, lower
from pocketvl.export.lm_head import LMHead
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import EmbeddingTable, EntryPoint, TensorSpec

_FILLED = 0.2  # share of the time spent when the weights are quantized
_TRACED = 0.25
_LOWERED = 0.95
_TRACE_LENGTH = 2  # 1 would be taken for a constant


def export_text_decoder(
    source: TensorSource,
    recipe: Recipe,
    settings: ExportSettings,
    eos: tuple[int, ...],
    folder: Path,
    progress: Progress,
) -> tuple[Component, EmbeddingTable]:
    """Write text_decoder.pte, and token_embedding.bin if embeddings are not tied, into an existing folder.

    Returns the component and the table of token embeddings. Raises CheckpointError, RecipeError, CensusError
    or ExportError.
    """
    text = source.geometry.text
    path = folder / names.TEXT_DECODER_PTE
    decoder, head = TextDecoder(text, recipe, settings.max_context), LMHead(text, recipe)
    leaves = sum(1 for graph in (decoder, head) for _ in graph.parameters())
    done = 0

    def filled(_: str) -> None:
        nonlocal done
        done += 1
        progress("Quantizing the decoder", _FILLED * min(1.0, done / leaves))

    fill(decoder, source, recipe, filled)
    fill(head, source, recipe, filled)
    wanted = {names.TEXT_DECODER: expected(decoder), names.LM_HEAD: expected(head)}
    probe = Probe.of(head.head)
    head_bits = head.head.bits
    progress("Tracing the decoder", _FILLED)
    programs = {
        names.TEXT_DECODER: trace_decoder(decoder, text, settings.prefill_chunk),
        names.LM_HEAD: trace_head(head, text),
    }
    del decoder, head  # the programs hold the weights now, and lowering lets go of them piece by piece
    progress("Lowering the decoder to XNNPACK", _TRACED)
    lower(programs, _metadata(text, settings, eos), path)
    progress("Checking the decoder", _LOWERED)
    groups = census(path, wanted)
    if text.tie_word_embeddings:
        table = tied_table(path, wanted[names.LM_HEAD][0], probe)
    else:
        table, group = write_table(source, text, head_bits, folder)
        groups = (*groups, group)
    progress("Wrote the decoder", 1.0)
    return Component(_entry_points(text), groups), table


def trace_decoder(decoder: nn.Module, text: TextGeometry, prefill_chunk: int) -> ExportedProgram:
    """The decoder for 1..prefill_chunk tokens."""
    load_custom_ops()
    length = min(_TRACE_LENGTH, prefill_chunk)
    tokens = _dynamic("tokens", prefill_chunk)
    example = (
        torch.zeros(1, length, text.hidden_size),
        torch.zeros(length, text.head_dim),
        torch.zeros(length, text.head_dim),
        torch.zeros(1, dtype=torch.int64),
    )
    shapes = ({1: tokens}, {0: tokens}, {0: tokens}, None)
    with torch.no_grad():
        return torch.export.export(decoder, example, dynamic_shapes=shapes, strict=False)


def trace_head(head: nn.Module, text: TextGeometry) -> ExportedProgram:
    """The head for 1..MAX_HEAD_ROWS hidden states."""
    example = (torch.zeros(1, _TRACE_LENGTH, text.hidden_size),)
    with torch.no_grad():
        shapes = ({1: _dynamic("rows", names.MAX_HEAD_ROWS)},)
        return torch.export.export(head, example, dynamic_shapes=shapes, strict=False)


def _dynamic(name: str, largest: int) -> Dim | None:
    return Dim(name, min=1, max=largest) if largest > 1 else None


def _metadata(text: TextGeometry, settings: ExportSettings, eos: tuple[int, ...]) -> dict[str, object]:
    """Constant methods, as ExecuTorch's own runners read them."""
    return {
        names.GET_MAX_SEQ_LEN: settings.prefill_chunk,
        names.GET_MAX_CONTEXT_LEN: settings.max_context,
        names.GET_VOCAB_SIZE: text.vocab_size,
        names.GET_EOS_IDS: list(eos),
        names.USE_KV_CACHE: True,
    }


def _entry_points(text: TextGeometry) -> tuple[EntryPoint, EntryPoint]:
    width, rope = text.hidden_size, ("tokens", text.head_dim)
    decoder = EntryPoint(
        name=names.TEXT_DECODER,
        file=names.TEXT_DECODER_PTE,
        method=names.TEXT_DECODER,
        patches=None,
        inputs=(
            TensorSpec(names.EMBEDDINGS, "float32", (1, "tokens", width)),
            TensorSpec(names.ROPE_COS, "float32", rope),
            TensorSpec(names.ROPE_SIN, "float32", rope),
            TensorSpec(names.CACHE_POSITION, "int64", (1,)),
        ),
        outputs=(TensorSpec(names.HIDDEN, "float32", (1, "tokens", width)),),
    )
    head = EntryPoint(
        name=names.LM_HEAD,
        file=names.TEXT_DECODER_PTE,
        method=names.LM_HEAD,
        patches=None,
        inputs=(TensorSpec(names.HIDDEN, "float32", (1, "rows", width)),),
        outputs=(TensorSpec(names.LOGITS, "float32", (1, "rows", text.vocab_size)),),
    )
    return decoder, head
