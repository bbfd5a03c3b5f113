"""LoRA adapters merged into a checkpoint while its tensors are read."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from pocketvl.export.checkpoint.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, base_note, read_adapter
from pocketvl.export.checkpoint.checkpoint import Checkpoint, hash_files
from pocketvl.export.layers import expected_tensors, linear_layers
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.runtime.bundle.geometry import ModelGeometry


class MergedLora:
    """A checkpoint with adapters added to its weights, one after the other; a component.TensorSource.

    Pickles by reading the adapters again. fixed_bits and requantized are the checkpoint's, but that the
    integers of an adapted layer never stand, so that the recipe decides over its bits.
    """

    def __init__(self, base: Checkpoint, folders: Sequence[Path]) -> None:
        """Raises CheckpointError for an adapter that does not fit the checkpoint."""
        self._base, self._folders = base, tuple(folder.expanduser() for folder in folders)
        shapes = expected_tensors(base.geometry)
        adapters = [read_adapter(folder, shapes) for folder in self._folders]
        self._updates = {
            name: tuple(adapter[name] for adapter in adapters if name in adapter)
            for name in {name for adapter in adapters for name in adapter}
        }
        layers = linear_layers(base.geometry)
        self._adapted = {layer.name for layer in layers if f"{layer.source}.weight" in self._updates}
        self.geometry: ModelGeometry = base.geometry
        self.name = " + ".join([base.name, *(folder.resolve().name for folder in self._folders)])
        self.notes: tuple[str, ...] = (
            *base.notes,
            *(note for folder in self._folders for note in base_note(folder, base.name)),
        )
        self.packing = base.packing
        self.fixed_bits = {
            layer: precision for layer, precision in base.fixed_bits.items() if layer not in self._adapted
        }
        packed = base.requantized | base.fixed_bits.keys()
        self.requantized = base.requantized | (packed & self._adapted)

    def __reduce__(self) -> tuple[type["MergedLora"], tuple[Checkpoint, tuple[Path, ...]]]:
        return MergedLora, (self._base, self._folders)

    def tensor(self, name: str) -> torch.Tensor:
        """As Checkpoint.tensor; merged weights are float32."""
        weight = self._base.tensor(name)
        for update in self._updates.get(name, ()):
            weight = update.add_to(weight.float(), name)
        return weight

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """As Checkpoint.quantized; None for an adapted layer."""
        return None if layer in self._adapted else self._base.quantized(layer)

    def fingerprint(self) -> str:
        """sha256 over the checkpoint's and every adapter's, in their order; computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        files = [(folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS) for folder in self._folders]
        parts = [hash_files(paths) for paths in files]
        return hashlib.sha256("\n".join([self._base.fingerprint(), *parts]).encode()).hexdigest()


def merge_lora(checkpoint: Checkpoint, folders: Sequence[Path]) -> Checkpoint | MergedLora:
    """The checkpoint itself where there are no adapters. Raises CheckpointError."""
    return MergedLora(checkpoint, folders) if folders else checkpoint
