"""The decoder and its head become text_decoder.pte, whose rows of the head are the token embeddings."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from pocketvl.export.census import Expected, Kernel, key_of, layer_groups
from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import component_cost, filling_weights
from pocketvl.export.executorch.census import census, expected
from pocketvl.export.executorch.constants import Stored, stored_linears
from pocketvl.export.executorch.text_lowering import TRACE_LENGTH, dynamic, lower_decoder
from pocketvl.export.executorch.xnnpack import calling_program, load_custom_ops, lower, traced
from pocketvl.export.modules import Linear, LMHead
from pocketvl.export.progress import Progress, Steps, parts
from pocketvl.export.target import Component, ExportInputs
from pocketvl.export.weights import fill, write_table
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_decoder, pte_head
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.errors import ExportError

_STORAGE = {32: "float32", 8: "int8", 4: "int4"}
_SCALES = {32: None, 8: "float32", 4: "bfloat16"}
_ROWS_PROBED = 16
_TRACING_SHARES = (0.68, 0.32)  # of tracing, that are done when the first graphs are written


def export_text(inputs: ExportInputs, progress: Progress) -> tuple[Component, EmbeddingTable]:
    """Write text_decoder.pte, and token_embedding.bin if embeddings are not tied.

    Returns the component and the table of token embeddings. Raises CheckpointError, RecipeError, CensusError
    or ExportError.
    """
    source, plan, settings = inputs.source, inputs.plan, inputs.settings
    text = plan.geometry.text
    path = inputs.folder / names.TEXT_DECODER_PTE
    head = LMHead(plan)
    cost = component_cost(names.EXECUTORCH, names.TEXT_DECODER, plan.geometry, settings)
    # The first half of lowering is the last kinds of graphs, and the graph that calls them all.
    seconds = cost.trace + cost.quantize, cost.lower / 2, cost.lower / 2, cost.check
    filling, _, writing, checking = parts(progress, seconds)
    weights = filling_weights(cost, plan.sizes(names.TEXT_DECODER, names.LM_HEAD), _TRACING_SHARES)
    steps, graphs = Steps(filling, "Lowering the decoder", weights), count()
    layers: list[Expected] = []

    def filled(graph: nn.Module) -> Stored:
        fill(graph, source, plan.method)
        stored = stored_linears(graph)
        layers.extend(expected(stored))
        return stored

    def written(stored: Stored) -> None:
        steps.next(f"graph {next(graphs)}")
        for leaf in stored:
            steps.next(leaf.layer)

    decoder = lower_decoder(plan, settings.max_context, settings.prefill_chunk, filled, written)
    fill(head, source, plan.method)
    of_head = stored_linears(head)
    written(of_head)
    wanted = {names.TEXT_DECODER: tuple(layers), names.LM_HEAD: expected(of_head)}
    probe = Probe.of(head.head)
    programs = {
        names.TEXT_DECODER: trace_decoder(decoder, text, settings.prefill_chunk),
        names.LM_HEAD: trace_head(head, text),
    }
    # The programs hold the weights now, and lowering lets go of them piece by piece.
    del decoder, head, of_head
    lower(programs, _metadata(text, settings, inputs.special_tokens.eos), path, writing)
    checking("Checking the decoder", 0.0)
    found = census(path, wanted)
    groups = [group for name, layers in wanted.items() for group in layer_groups(name, layers, found)]
    if text.tie_word_embeddings:
        (rows,) = (own for own in wanted[names.LM_HEAD] if own.layer == names.LM_HEAD)
        table = tied_table(path, rows, found[rows.layer], probe)
    else:
        table, group = write_table(source, plan, inputs.folder)
        groups.append(group)
    progress("Wrote the decoder", 1.0)
    return Component((pte_decoder(text), pte_head(text)), tuple(groups)), table


def trace_decoder(decoder: nn.Module, text: TextGeometry, prefill_chunk: int) -> ExportedProgram:
    """The decoder for 1..prefill_chunk tokens."""
    load_custom_ops()
    length = min(TRACE_LENGTH, prefill_chunk)
    tokens = dynamic("tokens", prefill_chunk)
    example = (
        torch.zeros(1, length, text.hidden_size),
        torch.zeros(length, text.head_dim),
        torch.zeros(length, text.head_dim),
        torch.zeros(1, dtype=torch.int64),
    )
    shapes = ({1: tokens}, {0: tokens}, {0: tokens}, None)
    return calling_program(decoder, 1, example, shapes)


def trace_head(head: nn.Module, text: TextGeometry) -> ExportedProgram:
    """The head for 1..MAX_HEAD_ROWS hidden states."""
    example = (torch.zeros(1, TRACE_LENGTH, text.hidden_size),)
    return traced(head, example, ({1: dynamic("rows", names.MAX_HEAD_ROWS)},))


def _metadata(text: TextGeometry, settings: ExportSettings, eos: tuple[int, ...]) -> dict[str, object]:
    """Constant methods, as ExecuTorch's own runners read them."""
    return {
        names.GET_MAX_SEQ_LEN: settings.prefill_chunk,
        names.GET_MAX_CONTEXT_LEN: settings.max_context,
        names.GET_VOCAB_SIZE: text.vocab_size,
        names.GET_EOS_IDS: list(eos),
        names.USE_KV_CACHE: True,
    }


@dataclass(frozen=True)
class Probe:
    """A few rows of the head as they were quantized, to test the table with."""

    rows: tuple[int, ...]
    values: NDArray[np.float32]  # (rows, columns)

    @classmethod
    def of(cls, head: Linear) -> "Probe":
        """Rows spread over the whole of a filled head, first and last among them."""
        rows = np.linspace(0, head.out_features - 1, min(_ROWS_PROBED, head.out_features)).astype(np.int64)
        if head.precision.is_float:
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
    (rows, columns), bits, location = head.shape, head.precision.bits, kernel.location
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
        group_size=None if head.precision.is_float else head.precision.group_size or columns,
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
