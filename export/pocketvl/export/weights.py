"""Weights go into a graph one tensor at a time, each quantized before the next is read."""

from collections.abc import Callable

import torch
from torch import nn

from pocketvl.export.component import TensorSource
from pocketvl.export.graphs.leaf import LayerNorm, Linear, RMSNorm
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
    weight = _read_weight(source, leaf)
    if leaf.bits.bits == 32:
        weight = weight.float().contiguous()
    else:
        weight = to_torchao(quantize_linear(weight, leaf.bits, method, leaf.layer))
    leaf.weight = nn.Parameter(weight, requires_grad=False)
    if leaf.bias is not None:
        bias = _read(source, f"{leaf.source}.bias", (leaf.out_features,))
        leaf.bias = nn.Parameter(bias, requires_grad=False)


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
