"""token_embedding.bin: the table from which the host gathers rows where embeddings are not the head's."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvl.export.component import TensorSource
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.weights import as_float16
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.recipe import Bits
from pocketvl.runtime import names
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.manifest import EmbeddingTable, LayerGroup

_SOURCE = "model.embed_tokens.weight"
_STORAGE = {32: "float32", 16: "float16", 8: "int8"}
_FLOAT_ROWS = 4096  # written at a time


def write_table(source: TensorSource, plan: LayerPlan, folder: Path) -> tuple[EmbeddingTable, LayerGroup]:
    """Write token_embedding.bin for a checkpoint whose embeddings are its own.

    Of the plan's table_bits: floats, or int8 with a float32 scale per row. Rows first, then the scales.
    Raises CheckpointError for a tensor of another shape or values that are not finite, ExportError for
    values that float16 does not hold.
    """
    rows, columns = plan.geometry.text.vocab_size, plan.geometry.text.hidden_size
    weight = source.tensor(_SOURCE)
    if tuple(weight.shape) != (rows, columns):
        raise CheckpointError(
            f"{_SOURCE} has shape {list(weight.shape)}, but the config asks for {[rows, columns]};"
            " are both of one model?"
        )
    path = folder / names.TOKEN_EMBEDDING_FILE
    bits = plan.table_bits
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
        scales_dtype=None if bits.is_float else "float32",
        group_size=None if bits.is_float else columns,
    )
    return table, LayerGroup(names.TOKEN_EMBEDDING, bits.bits, None, 1, rows * columns, size)


def _float_rows(rows: torch.Tensor, bits: Bits) -> NDArray[Any]:
    if not torch.isfinite(rows).all():
        raise CheckpointError(f"{_SOURCE} holds NaN or infinite values; was the checkpoint saved completely?")
    values: NDArray[np.float32] = rows.float().contiguous().numpy()
    if bits.bits == 32:
        return values
    return as_float16(values, _SOURCE, "give lm_head, which it follows, 32 or 8 bits by a rule of the recipe")
