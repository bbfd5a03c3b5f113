"""Graphs are traced without their weights: every linear layer gets zeros that take no memory."""

import torch
from torch import nn

from pocketvl.export.component import TensorSource
from pocketvl.export.coreml.blockwise import StoredWeight, as_float16, stored_float, stored_quantized
from pocketvl.export.coreml.fp16 import scale_norms
from pocketvl.export.modules import Linear
from pocketvl.export.weights import Filled, decided, fill_small, float_weight

Weights = dict[str, StoredWeight]  # path of the leaf in its graph -> what it is to hold


def zeros(*shape: int) -> nn.Parameter:
    """A parameter of one element that looks like `shape`."""
    return nn.Parameter(torch.zeros(1).expand(shape), requires_grad=False)


def prepare(graph: nn.Module, source: TensorSource, method: str, filled: Filled) -> Weights:
    """Make a graph ready to be traced, and decide what its linear layers are to hold.

    Norms and biases get the checkpoint's values, linear layers zeros. One float tensor of the checkpoint is
    held at a time. filled is called with the path of each linear layer that is decided. Raises
    CheckpointError, RecipeError, or ExportError for values that float16 does not hold.
    """
    fill_small(graph, source)
    scale_norms(graph)
    weights = {}
    for path, leaf in graph.named_modules():
        if isinstance(leaf, Linear):
            weights[path] = stored(leaf, source, method)
            leaf.weight = zeros(leaf.out_features, leaf.in_features)
            filled(path)
    for name, parameter in graph.named_parameters():
        as_float16(parameter.detach().numpy(), name)
    return weights


def stored(leaf: Linear, source: TensorSource, method: str) -> StoredWeight:
    """What a linear layer is to hold. Raises as prepare does."""
    if leaf.bits.is_float:
        return stored_float(leaf.layer, leaf.bits, float_weight(leaf, source))
    return stored_quantized(leaf.layer, leaf.bits, decided(leaf, source, method))
