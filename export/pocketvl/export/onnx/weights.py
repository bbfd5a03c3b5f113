"""The leaves of a graph go into a data file one layer at a time, and ONNX leaves take their places."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.census import Expected
from pocketvl.export.component import TensorSource
from pocketvl.export.modules import LayerNorm, Linear, RMSNorm
from pocketvl.export.onnx import operators
from pocketvl.export.onnx.census import expected
from pocketvl.export.onnx.data_file import DataFile, Entry
from pocketvl.export.onnx.operators import Packed, pack
from pocketvl.export.weights import Filled, as_float16, decided, fill_small, float_weight
from pocketvl.runtime.engines.memory import return_memory


class Stack(nn.Module):
    """Linear layers that read the same input: x (..., in) to all of their outputs side by side.

    externalize() makes one product of them where they have the same bits.
    """

    def __init__(self, *layers: Linear) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self.layers], dim=-1)


def externalize(
    graph: nn.Module, source: TensorSource, method: str, data: DataFile, filled: Filled = lambda _: None
) -> None:
    """Write the weights of a graph's leaves into `data`, and replace each leaf by one that names them.

    graph: modules of pocketvl.export.modules and Stacks of them, at any depth below it. One layer of
    the checkpoint is held at a time. filled is called with the path of each layer. Raises CheckpointError,
    RecipeError as pocketvl.export.weights does, ExportError for weights that float16 is to hold and does not,
    OSError where the file cannot be written.
    """
    fill_small(graph, source)
    _externalize_children(graph, "", source, method, data, filled)


def external_layers(graph: nn.Module) -> tuple[Expected, ...]:
    """The layers that an externalized graph holds."""
    return tuple(
        layer for module in graph.modules() if isinstance(module, operators.Weights) for layer in module.holds
    )


def _externalize_children(
    module: nn.Module, path: str, source: TensorSource, method: str, data: DataFile, filled: Filled
) -> None:
    for name, child in list(module.named_children()):
        external = _external(child, source, method, data)
        if external is None:
            _externalize_children(child, f"{path}{name}.", source, method, data, filled)
        else:
            setattr(module, name, external)
            return_memory()  # else the C library keeps some 80 MB of every layer of the 2B model
            # Of a stack its layers, which leaf_sizes names.
            for below, part in child.named_modules(prefix=f"{path}{name}"):
                if isinstance(part, Linear):
                    filled(below)


def _external(child: nn.Module, source: TensorSource, method: str, data: DataFile) -> nn.Module | None:
    match child:
        case Stack() if _alike(child):
            return external_linear(
                [part for part in child.layers if isinstance(part, Linear)], source, method, data
            )
        case Linear():
            return external_linear([child], source, method, data)
        case RMSNorm():
            return operators.RMSNorm({"weight": _write(data, child.weight)}, child.epsilon)
        case LayerNorm():
            entries = {"weight": _write(data, child.weight), "bias": _write(data, child.bias)}
            return operators.LayerNorm(entries, child.epsilon)
        case _:
            return None


def external_linear(
    layers: Sequence[Linear], source: TensorSource, method: str, data: DataFile
) -> operators.Weights:
    """One product of layers that have the same bits and inputs. Raises as externalize does."""
    if layers[0].precision.is_float:
        weights = [stored_float(layer, source) for layer in layers]
        entries = {"weight": data.write(*weights)}
        holds = [
            expected(layer.layer, layer.precision, weight)
            for layer, weight in zip(layers, weights, strict=True)
        ]
        return operators.FloatMatMul(entries | _bias(layers, data), holds)
    holds, packed = [], []
    for layer in layers:
        quantized = decided(layer, source, method)
        packed.append(pack(quantized))
        holds.append(expected(layer.layer, layer.precision, quantized.integers, quantized.scales))
    entries = write_packed(packed, data)
    return operators.MatMulNBits(entries | _bias(layers, data), holds, packed[0].bits, packed[0].block)


def write_packed(packed: Sequence[Packed], data: DataFile) -> dict[str, Entry]:
    """Integers and scales, each as one tensor."""
    return {
        "weight": data.write(*(part.data for part in packed)),
        "scales": data.write(*(part.scales for part in packed)),
    }


def stored_float(layer: Linear, source: TensorSource) -> NDArray[Any]:
    """The weight (out, in) of a layer of 32 or 16 bits, in its bits."""
    weight: NDArray[np.float32] = float_weight(layer, source).numpy()
    if layer.precision.bits == 32:
        return weight
    return as_float16(weight, layer.layer, "give the layer 32 or 8 bits by a rule of the recipe")


def _alike(stack: Stack) -> bool:
    kinds = {(part.precision, part.bias is None) for part in stack.layers if isinstance(part, Linear)}
    return len(kinds) == 1


def _bias(layers: Sequence[Linear], data: DataFile) -> dict[str, Entry]:
    biases = [layer.bias.detach().numpy() for layer in layers if layer.bias is not None]
    return {"bias": data.write(*biases)} if biases else {}


def _write(data: DataFile, parameter: nn.Parameter) -> Entry:
    return data.write(parameter.detach().numpy())
