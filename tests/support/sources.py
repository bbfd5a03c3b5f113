"""Sources of tensors made from other sources."""

from typing import Any

import torch

from pocketvl.export.checkpoint.layers import layer_sources
from pocketvl.runtime.geometry import ModelGeometry


class Dequantized:
    """The integers of a packed or calibrated source, as if they were the checkpoint's floats."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.geometry: ModelGeometry = source.geometry
        self._layers = {f"{name}.weight": layer for layer, name in layer_sources(self.geometry).items()}

    def tensor(self, name: str) -> torch.Tensor:
        layer = self._layers.get(name)
        quantized = None if layer is None else self.source.quantized(layer)
        value: torch.Tensor = (
            self.source.tensor(name) if quantized is None else torch.from_numpy(quantized.dequantize())
        )
        return value

    def quantized(self, layer: str) -> None:
        return None
