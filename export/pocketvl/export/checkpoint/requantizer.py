"""Packed layers that cannot keep their integers are quantized again, and the cost is written down."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch

from pocketvl.export.checkpoint.kept import PackedSource
from pocketvl.export.component import TensorSource
from pocketvl.export.layers import linear_layers
from pocketvl.quant.packed.damage import Damage, measure_damage
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import ModelGeometry

T = TypeVar("T")


class Requantizer:
    """A TensorSource that quantizes the `requantized` layers of another by the recipe, and measures that.

    damage: of the layers that were asked for so far.
    """

    def __init__(self, inner: TensorSource, layers: Iterable[str], recipe: Recipe) -> None:
        self._inner, self._recipe = inner, recipe
        again = set(layers)
        self._weights = {
            layer.name: f"{layer.source}.weight"
            for layer in linear_layers(inner.geometry)
            if layer.name in again
        }
        self.geometry: ModelGeometry = inner.geometry
        self.damage: list[Damage] = []

    def tensor(self, name: str) -> torch.Tensor:
        return self._inner.tensor(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        quantized = self._inner.quantized(layer)
        if layer not in self._weights:
            return quantized
        weight = self._inner.tensor(self._weights[layer])
        if quantized is None:
            bits = self._recipe.bits(layer, weight.shape[1])
            quantized = quantize_linear(weight, bits, self._recipe.method, layer)
        self.damage.append(measure_damage(layer, weight, quantized))
        return quantized


def with_damage(
    exporter: Callable[..., T], source: PackedSource, recipe: Recipe, *arguments: Any
) -> tuple[T, list[Damage]]:
    """exporter(source, recipe, *arguments), and what quantizing packed layers again cost it."""
    requantizer = Requantizer(source, source.requantized, recipe)
    return exporter(requantizer, recipe, *arguments), requantizer.damage
