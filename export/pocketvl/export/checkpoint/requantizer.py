"""Packed layers that cannot keep their integers are quantized again, and the cost is written down."""

from collections.abc import Iterable

import torch

from pocketvl.export.component import TensorSource
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import linear_layers
from pocketvl.quant.packed.damage import Damage, measure_damage
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import method_of
from pocketvl.runtime.geometry import ModelGeometry


class Requantizer:
    """A TensorSource that quantizes the `requantized` layers of another by the plan, and measures that.

    damage: of the layers that were asked for so far.
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
        self.damage: list[Damage] = []

    def tensor(self, name: str) -> torch.Tensor:
        return self._inner.tensor(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        quantized = self._inner.quantized(layer)
        if layer not in self._weights:
            return quantized
        weight = self._inner.tensor(self._weights[layer])
        if quantized is None:
            bits = self._plan.bits[layer]
            quantized = quantize_linear(weight, bits, method_of(self._plan.method, bits), layer)
        self.damage.append(measure_damage(layer, weight, quantized))
        return quantized
