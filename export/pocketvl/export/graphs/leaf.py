"""The leaves of every graph: modules whose parameters are tensors of the checkpoint.

A graph is built on the meta device; pocketvl.export.weights fills its leaves one tensor at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from pocketvl.quant.recipe import Bits, Recipe


@dataclass(frozen=True)
class Part:
    """Rows of a linear layer that are one layer of the checkpoint."""

    layer: str  # as recipes name it: text_decoder.layers.0.q_proj
    source: str  # tensor of the checkpoint without ".weight": model.layers.0.self_attn.q_proj
    out_features: int


class Linear(nn.Module):
    """y = x W^T + b, where the rows of W are one or several layers of the checkpoint, one after the other.

    Joining layers that read the same input quantizes that input once and calls one kernel; each row
    keeps the scales that it has alone. All parts have the same `bits`.
    """

    def __init__(self, parts: tuple[Part, ...], in_features: int, bias: bool, bits: Bits) -> None:
        super().__init__()
        self.parts = parts
        self.in_features = in_features
        self.out_features = sum(part.out_features for part in parts)
        self.bits = bits
        weight = torch.empty(self.out_features, in_features, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias: nn.Parameter | None = None
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_features, device="meta"), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) to (..., out_features), float32."""
        return nn.functional.linear(x, self.weight, self.bias)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, 2019)."""

    def __init__(self, source: str, size: int, eps: float) -> None:
        super().__init__()
        self.source = source
        self.weight = nn.Parameter(torch.empty(size, device="meta"), requires_grad=False)
        # XNNPACK has no mean over the last axis of any rank; it has a linear layer, so the mean of the
        # squares is one with the weights 1 / size and the bias eps. That keeps the whole norm inside the
        # delegate, where a portable mean would split each decoder layer in several delegates.
        self.mean = nn.Buffer(torch.full((1, size), 1.0 / size), persistent=False)
        self.eps = nn.Buffer(torch.full((1,), eps), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) float32, same shape out."""
        return x * torch.rsqrt(nn.functional.linear(x * x, self.mean, self.eps)) * self.weight


class LayerNorm(nn.Module):
    """torch's layer norm over the last axis, with weight and bias."""

    def __init__(self, source: str, size: int, eps: float) -> None:
        super().__init__()
        self.source = source
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(size, device="meta"), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(size, device="meta"), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) float32, same shape out."""
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def linear(
    layer: str, source: str, out_features: int, in_features: int, bias: bool, recipe: Recipe
) -> Linear:
    """A linear layer that is one layer of the checkpoint. Raises RecipeError as Recipe.bits does."""
    part = Part(layer, source, out_features)
    return Linear((part,), in_features, bias, recipe.bits(layer, in_features))


def joined_linears(parts: tuple[Part, ...], in_features: int, bias: bool, recipe: Recipe) -> nn.ModuleList:
    """Linear layers over the same input; neighbours with the same bits become one."""
    runs = groupby(parts, key=lambda part: recipe.bits(part.layer, in_features))
    return nn.ModuleList(Linear(tuple(run), in_features, bias, bits) for bits, run in runs)


def linears(graph: nn.Module) -> Iterator[Linear]:
    """All linear layers of a graph, in its order."""
    return (module for module in graph.modules() if isinstance(module, Linear))
