"""Sources of tensors made from other sources."""

from typing import Any

import torch

from pocketvl.export.layers import linear_layers
from pocketvl.runtime.bundle.geometry import ModelGeometry


class Dequantized:
    """The integers of a packed or calibrated source, as if they were the checkpoint's floats."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.geometry: ModelGeometry = source.geometry
        self._layers = {f"{layer.source}.weight": layer.name for layer in linear_layers(self.geometry)}

    def tensor(self, name: str) -> torch.Tensor:
        layer = self._layers.get(name)
        quantized = None if layer is None else self.source.quantized(layer)
        value: torch.Tensor = (
            self.source.tensor(name) if quantized is None else torch.from_numpy(quantized.dequantize())
        )
        return value

    def quantized(self, layer: str) -> None:
        return None
