"""Weights go into a graph one tensor at a time, each quantized before the next is read."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pocketvl.export.component import TensorSource
from pocketvl.export.graphs.leaf import LayerNorm, Linear, Part, RMSNorm
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.errors import CheckpointError

Filled = Callable[[str], None]  # called with the name of each leaf that got its weights


def fill(graph: nn.Module, source: TensorSource, recipe: Recipe, filled: Filled = lambda _: None) -> None:
    """Replace the meta tensors of a graph's leaves by the checkpoint's, quantized as each leaf's bits say.

    Holds one float tensor of the checkpoint at a time beside what is already quantized. Raises
    CheckpointError for a tensor that is missing, has another shape or is not finite.
    """
    for name, leaf in graph.named_modules():
        if isinstance(leaf, Linear):
            _fill_linear(leaf, source, recipe.method)
        elif isinstance(leaf, RMSNorm | LayerNorm):
            for parameter, old in list(leaf.named_parameters()):
                value = _read(source, f"{leaf.source}.{parameter}", tuple(old.shape))
                setattr(leaf, parameter, nn.Parameter(value, requires_grad=False))
        else:
            continue
        filled(name)


def to_torchao(quantized: QuantizedLinear) -> torch.Tensor:
    """The weight (out, in) as a torchao tensor that holds these very integers and scales, not copies.

    It is what torchao's Int8DynamicActivationIntxWeightConfig makes, with symmetric weights: the input is
    quantized to 8 bits a token at run time. XNNPACK's partitioner recognises it.
    """
    from torchao.quantization import IntxUnpackedToInt8Tensor

    tensor: torch.Tensor = IntxUnpackedToInt8Tensor(
        qdata=torch.from_numpy(quantized.integers),
        scale=torch.from_numpy(quantized.scales),
        zero_point=torch.zeros(quantized.scales.shape, dtype=torch.int8),
        target_dtype=getattr(torch, f"int{quantized.bits}"),
        block_size=(1, quantized.group_size),
        dtype=torch.float32,
        activation_quantization="int8_asym_per_token",
    )
    return tensor


def _fill_linear(leaf: Linear, source: TensorSource, method: str) -> None:
    if leaf.bits.bits == 32:
        rows = [_read_weight(source, part, leaf.in_features) for part in leaf.parts]
        weight = torch.cat([row.float() for row in rows])
    else:
        pieces = [
            quantize_linear(_read_weight(source, part, leaf.in_features), leaf.bits, method, part.layer)
            for part in leaf.parts
        ]
        weight = to_torchao(_joined(pieces))
    leaf.weight = nn.Parameter(weight, requires_grad=False)
    if leaf.bias is not None:
        biases = [_read(source, f"{part.source}.bias", (part.out_features,)) for part in leaf.parts]
        leaf.bias = nn.Parameter(torch.cat(biases), requires_grad=False)


def _read_weight(source: TensorSource, part: Part, in_features: int) -> torch.Tensor:
    """(out, in) in the checkpoint's dtype; float32 only where it stays float. A patch embedding is 5-D."""
    tensor = source.tensor(f"{part.source}.weight")
    if tensor.shape[0] != part.out_features or tensor.numel() != part.out_features * in_features:
        raise CheckpointError(
            f"{part.source}.weight has shape {list(tensor.shape)}, but the config asks for"
            f" {part.out_features} outputs and {in_features} inputs; are both of one model?"
        )
    return tensor.reshape(part.out_features, in_features)


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


def _joined(pieces: list[QuantizedLinear]) -> QuantizedLinear:
    if len(pieces) == 1:
        return pieces[0]
    return QuantizedLinear(
        np.concatenate([piece.integers for piece in pieces]),
        np.concatenate([piece.scales for piece in pieces]),
        pieces[0].bits,
        pieces[0].group_size,
    )
