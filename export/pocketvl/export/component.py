"""What the exporters take and give: the settings of an export, and one written component."""

from dataclasses import dataclass
from typing import Protocol

import torch

from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.geometry import ModelGeometry
from pocketvl.runtime.manifest import EntryPoint, LayerGroup

DEFAULT_BUCKETS = (256, 576, 1024, 2304, 4096)  # patches: 64, 144, 256, 576, 1024 tokens
DEFAULT_CONTEXT = 2048
DEFAULT_PREFILL_CHUNK = 256
VISION_SHAPES = ("dynamic", "buckets")


class TensorSource(Protocol):
    """Weights by the hub's names (`visual.*`, `model.*`, `lm_head.weight`), read one at a time."""

    @property
    def geometry(self) -> ModelGeometry: ...

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor in the checkpoint's own dtype. A tied lm_head.weight gives the embedding."""

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """The integers of a linear layer, called as recipes call it, where they are decided already
        (calibrated, or stored in the checkpoint); None where the recipe's method decides over the tensor.
        """


@dataclass(frozen=True)
class ExportSettings:
    """Shapes that are decided at export time."""

    buckets: tuple[int, ...] = DEFAULT_BUCKETS
    vision_shapes: str = "dynamic"
    max_context: int = DEFAULT_CONTEXT
    prefill_chunk: int = DEFAULT_PREFILL_CHUNK
    decoder_chunks: int = 1  # files that a Core ML decoder is split into

    def __post_init__(self) -> None:
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)) or min(self.buckets) < 4:
            raise UsageError(
                f"--buckets {list(self.buckets)} must be ascending numbers of patches, 4 or more."
            )
        if self.vision_shapes not in VISION_SHAPES:
            raise UsageError(f"--vision-shapes {self.vision_shapes!r} is none of {', '.join(VISION_SHAPES)}.")
        if self.decoder_chunks < 1:
            raise UsageError(f"--decoder-packages {self.decoder_chunks} must be at least 1.")
        if not 1 <= self.prefill_chunk <= self.max_context:
            raise UsageError(
                f"--prefill-chunk {self.prefill_chunk} must lie in 1..{self.max_context}, the --max-context."
            )

    def check_one_decoder(self) -> None:
        """For targets that know no chunks. Raises UsageError."""
        if self.decoder_chunks != 1:
            raise UsageError(
                "--decoder-packages splits the decoder of Core ML; leave it out or add --target coreml."
            )


@dataclass(frozen=True)
class Component:
    """What one exporter wrote: its entry points and the bits of its layers."""

    entry_points: tuple[EntryPoint, ...]
    layers: tuple[LayerGroup, ...]
