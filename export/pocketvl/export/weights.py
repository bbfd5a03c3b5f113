"""Weights go into a graph one tensor at a time, each quantized before the next is read."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.component import TensorSource
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import EMBEDDING, linear_layers
from pocketvl.export.modules import LayerNorm, Linear, RMSNorm
from pocketvl.quant.packed.weight_error import WeightError, measure_weight_error
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision, method_of
from pocketvl.quant.rtn import stored_scales
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable, LayerGroup
from pocketvl.runtime.errors import CheckpointError, ExportError, RecipeError

Filled = Callable[[str], None]  # called with the name of each leaf that got its weights
_STORAGE = {32: "float32", 16: "float16", 8: "int8"}
_FLOAT_ROWS = 4096  # written at a time


class Requantizer:
    """A TensorSource that quantizes the `requantized` layers of another by the plan, and measures that.

    weight_errors: of the layers that were asked for so far.
    """

    def __init__(self, inner: TensorSource, layers: Iterable[str], plan: LayerPlan) -> None:
        self._inner, self._plan = inner, plan
        again = set(layers)
        self._weights = {
            layer.name: f"{layer.source}.weight"
            for layer in linear_layers(inner.geometry)
            if layer.name in again
        }
        self.geometry: ModelGeometry = inner.geometry
        self.weight_errors: list[WeightError] = []

    def tensor(self, name: str) -> torch.Tensor:
        return self._inner.tensor(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        quantized = self._inner.quantized(layer)
        if layer not in self._weights:
            return quantized
        weight = self._inner.tensor(self._weights[layer])
        if quantized is None:
            precision = self._plan.precisions[layer]
            quantized = quantize_linear(weight, precision, method_of(self._plan.method, precision), layer)
        self.weight_errors.append(measure_weight_error(layer, weight, quantized))
        return quantized


def fill(graph: nn.Module, source: TensorSource, method: str, filled: Filled = lambda _: None) -> None:
    """Replace the meta tensors of a graph's leaves by the checkpoint's, quantized as each leaf's bits say.

    method: how integers are chosen that were not decided before.

    Holds one float tensor of the checkpoint at a time beside what is already quantized. Raises
    CheckpointError for a tensor that is missing, has another shape or is not finite.
    """
    for name, leaf in graph.named_modules():
        if isinstance(leaf, Linear):
            _fill_linear(leaf, source, method)
        elif isinstance(leaf, RMSNorm | LayerNorm):
            _fill_norm(leaf, source)
        else:
            continue
        filled(name)


def leaf_sizes(graph: nn.Module) -> dict[str, float]:
    """How many weights each linear leaf has, by the name that `filled` is called with."""
    return {
        name: float(leaf.out_features * leaf.in_features)
        for name, leaf in graph.named_modules()
        if isinstance(leaf, Linear)
    }


def fill_floats(graph: nn.Module, source: TensorSource) -> None:
    """Give a graph's leaves the checkpoint's float32 tensors, whatever bits they are to get.

    Raises CheckpointError as fill does.
    """
    for leaf in graph.modules():
        if isinstance(leaf, Linear):
            weight = float_weight(leaf, source)
            leaf.weight = nn.Parameter(weight, requires_grad=False)
            _fill_bias(leaf, source)
        elif isinstance(leaf, RMSNorm | LayerNorm):
            _fill_norm(leaf, source)


def fill_small(graph: nn.Module, source: TensorSource) -> None:
    """Give a graph's norms and biases the checkpoint's float32 tensors, and leave its weights alone.

    Raises CheckpointError as fill does.
    """
    for leaf in graph.modules():
        if isinstance(leaf, Linear):
            _fill_bias(leaf, source)
        elif isinstance(leaf, RMSNorm | LayerNorm):
            _fill_norm(leaf, source)


def decided(leaf: Linear, source: TensorSource, method: str) -> QuantizedLinear:
    """The integers of a layer that is to be quantized: those decided beforehand, else by `method`,
    or by rounding where that is a calibrated method, which leaves 8 bits alone.

    Raises CheckpointError as fill does, RecipeError where what was decided is not what the recipe asks for.
    """
    quantized = source.quantized(leaf.layer)
    if quantized is None:
        quantized = quantize_linear(
            _read_weight(source, leaf), leaf.precision, method_of(method, leaf.precision), leaf.layer
        )
    _check_decided(quantized, leaf)
    return quantized


def float_weight(leaf: Linear, source: TensorSource) -> torch.Tensor:
    """The weight (out, in) of a layer that stays float, float32. Raises CheckpointError as fill does."""
    return _read_weight(source, leaf).float().contiguous()


def to_torchao(quantized: QuantizedLinear) -> torch.Tensor:
    """The weight (out, in) as a torchao tensor that holds these very integers, not copies.

    It is what torchao's Int8DynamicActivationIntxWeightConfig makes, with symmetric weights: the input is
    quantized to 8 bits a token at run time. XNNPACK's partitioner recognises it. XNNPACK stores the scales of
    4 bits as bfloat16, to which scales of another's making (float16 in GPTQ checkpoints) are rounded here.
    """
    from torchao.quantization import IntxUnpackedToInt8Tensor

    tensor: torch.Tensor = IntxUnpackedToInt8Tensor(
        qdata=torch.from_numpy(quantized.integers),
        scale=stored_scales(torch.from_numpy(quantized.scales), quantized.bits),
        zero_point=torch.zeros(quantized.scales.shape, dtype=torch.int8),
        target_dtype=getattr(torch, f"int{quantized.bits}"),
        block_size=(1, quantized.group_size),
        dtype=torch.float32,
        activation_quantization="int8_asym_per_token",
    )
    return tensor


def as_float16(values: NDArray[np.float32], what: str, remedy: str) -> NDArray[np.float16]:
    """Rounded to the nearest float16. what: whose values these are, for the error; remedy: its last clause.

    Raises ExportError where a value is beyond float16's 65504.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded: NDArray[np.float16] = np.ascontiguousarray(values, np.float16)
    if not np.isfinite(rounded).all():
        raise ExportError(
            f"Values of {what} reach {np.abs(values).max():.5g}, but float16 ends at 65504; {remedy}."
        )
    return rounded


def _fill_linear(leaf: Linear, source: TensorSource, method: str) -> None:
    weight = (
        float_weight(leaf, source) if leaf.precision.is_float else to_torchao(decided(leaf, source, method))
    )
    leaf.weight = nn.Parameter(weight, requires_grad=False)
    _fill_bias(leaf, source)


def _fill_norm(leaf: RMSNorm | LayerNorm, source: TensorSource) -> None:
    for parameter, old in list(leaf.named_parameters()):
        value = _read(source, f"{leaf.source}.{parameter}", tuple(old.shape))
        setattr(leaf, parameter, nn.Parameter(value, requires_grad=False))


def _fill_bias(leaf: Linear, source: TensorSource) -> None:
    if leaf.bias is not None:
        bias = _read(source, f"{leaf.source}.bias", (leaf.out_features,))
        leaf.bias = nn.Parameter(bias, requires_grad=False)


def _check_decided(quantized: QuantizedLinear, leaf: Linear) -> None:
    """What was decided elsewhere must be what the recipe asks for."""
    group = None if quantized.per_channel and quantized.bits == 8 else quantized.group_size
    if (
        quantized.integers.shape != (leaf.out_features, leaf.in_features)
        or Precision(quantized.bits, group) != leaf.precision
    ):
        raise RecipeError(
            f"{leaf.layer} was quantized beforehand to {quantized.bits} bits, groups of"
            f" {quantized.group_size}, {quantized.integers.shape}, but the recipe asks for"
            f" {leaf.precision.bits} bits, groups of {leaf.precision.group_size},"
            f" {(leaf.out_features, leaf.in_features)}."
        )


def _read_weight(source: TensorSource, leaf: Linear) -> torch.Tensor:
    """(out, in) in the checkpoint's dtype; float32 only where it stays float. A patch embedding is 5-D."""
    tensor = source.tensor(f"{leaf.source}.weight")
    if tensor.shape[0] != leaf.out_features or tensor.numel() != leaf.out_features * leaf.in_features:
        raise CheckpointError(
            f"{leaf.source}.weight has shape {list(tensor.shape)}, but the config asks for"
            f" {leaf.out_features} outputs and {leaf.in_features} inputs; are both of one model?"
        )
    return tensor.reshape(leaf.out_features, leaf.in_features)


def _read(source: TensorSource, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    tensor = source.tensor(name)
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f"{name} has shape {list(tensor.shape)}, but the config asks for {list(shape)};"
            " are both of one model?"
        )
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{name} holds NaN or infinite values; was the checkpoint saved completely?")
    return tensor.float().contiguous()


def write_table(source: TensorSource, plan: LayerPlan, folder: Path) -> tuple[EmbeddingTable, LayerGroup]:
    """Write token_embedding.bin for a checkpoint whose embeddings are its own.

    Of the plan's table_bits: floats, or int8 with a float32 scale per row. Rows first, then the scales.
    Raises CheckpointError for a tensor of another shape or values that are not finite, ExportError for
    values that float16 does not hold.
    """
    rows, columns = plan.geometry.text.vocab_size, plan.geometry.text.hidden_size
    weight = source.tensor(EMBEDDING)
    if tuple(weight.shape) != (rows, columns):
        raise CheckpointError(
            f"{EMBEDDING} has shape {list(weight.shape)}, but the config asks for {[rows, columns]};"
            " are both of one model?"
        )
    path = folder / names.TOKEN_EMBEDDING_FILE
    precision = plan.table_bits
    with path.open("wb") as file:
        if precision.is_float:
            for first in range(0, rows, _FLOAT_ROWS):
                file.write(_float_rows(weight[first : first + _FLOAT_ROWS], precision).data)
        else:
            quantized = quantize_linear(weight, precision, "rtn", "token_embedding")
            file.write(quantized.integers.data)
            file.write(bytes(-rows * columns % 4))  # aligned for whoever maps the scales as floats
            file.write(quantized.scales.data)
    size = path.stat().st_size
    table = EmbeddingTable(
        file=path.name,
        rows=rows,
        columns=columns,
        storage=_STORAGE[precision.bits],
        data_offset=0,
        scales_offset=None if precision.is_float else size - rows * 4,
        scales_dtype=None if precision.is_float else "float32",
        group_size=None if precision.is_float else columns,
    )
    return table, LayerGroup(names.TOKEN_EMBEDDING, precision.bits, None, 1, rows * columns, size)


def _float_rows(rows: torch.Tensor, precision: Precision) -> NDArray[Any]:
    if not torch.isfinite(rows).all():
        raise CheckpointError(
            f"{EMBEDDING} holds NaN or infinite values; was the checkpoint saved completely?"
        )
    values: NDArray[np.float32] = rows.float().contiguous().numpy()
    if precision.bits == 32:
        return values
    return as_float16(
        values, EMBEDDING, "give lm_head, which it follows, 32 or 8 bits by a rule of the recipe"
    )
