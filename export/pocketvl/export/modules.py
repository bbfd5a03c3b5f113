"""The leaves of every graph: modules whose parameters are tensors of the checkpoint.

A graph is built on the meta device; pocketvl.export.weights fills its leaves one tensor at a time.
"""

from collections.abc import Iterator

import torch
from torch import nn

from pocketvl.quant.recipe import Bits, Recipe


class Linear(nn.Module):
    """y = x W^T + b.

    layer: the name that recipes know it by, text_decoder.layers.0.q_proj; source: tensor of the checkpoint
    without ".weight", model.layers.0.self_attn.q_proj.
    """

    def __init__(
        self, layer: str, source: str, out_features: int, in_features: int, bias: bool, bits: Bits
    ) -> None:
        super().__init__()
        self.layer, self.source, self.bits = layer, source, bits
        self.out_features, self.in_features = out_features, in_features
        weight = torch.empty(out_features, in_features, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias: nn.Parameter | None = None
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device="meta"), requires_grad=False)

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
    """A linear layer with the recipe's bits. Raises RecipeError as Recipe.bits does."""
    return Linear(layer, source, out_features, in_features, bias, recipe.bits(layer, in_features))


def linears(graph: nn.Module) -> Iterator[Linear]:
    """All linear layers of a graph, in its order."""
    return (module for module in graph.modules() if isinstance(module, Linear))


def half_rotation(head_dim: int) -> torch.Tensor:
    """(head_dim, head_dim) R with R x = (-x2, x1) for the halves x1, x2 of x: rotary embedding's second term.

    A product with it stays inside the XNNPACK delegate, where slices of a dynamic length do not; it is
    exact, since each row has one element.
    """
    half = head_dim // 2
    rotation = torch.zeros(head_dim, head_dim)
    rotation[:half, half:] = -torch.eye(half)
    rotation[half:, :half] = torch.eye(half)
    return rotation
