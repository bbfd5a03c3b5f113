"""What a target is to the whole export: ExecuTorch, Core ML and ONNX each fill in one Target."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint import Checkpoint
from pocketvl.export.component import ExportSettings, TensorSource
from pocketvl.export.estimate import BytesOf, Estimate
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.progress import Progress
from pocketvl.runtime.bundle.geometry import ImageSettings, SpecialTokens
from pocketvl.runtime.bundle.manifest import EmbeddingTable, EntryPoint, LayerGroup


@dataclass(frozen=True)
class ExportInputs:
    """What a target makes its files of, and the existing folder that they go into."""

    source: TensorSource
    plan: LayerPlan
    settings: ExportSettings
    special_tokens: SpecialTokens
    folder: Path


@dataclass(frozen=True)
class Component:
    """What was written: entry points, and the bits of their layers."""

    entry_points: tuple[EntryPoint, ...]
    layers: tuple[LayerGroup, ...]


def write_nothing(
    folder: Path, checkpoint: Checkpoint, image: ImageSettings, settings: ExportSettings
) -> None:
    """For targets whose folder holds nothing beside its components."""


@dataclass(frozen=True)
class Target:
    """All functions are of a module's top level, so that a target travels to other processes by pickle.

    name: as the manifest and the command line call it. packages: whose versions the manifest records.
    """

    name: str
    packages: tuple[str, ...]
    # Raises UsageError or MissingExtraError, before any work, for what the target cannot take.
    check: Callable[[ExportSettings, LayerPlan], None]
    # Disk and memory, before any work. Raises UsageError.
    estimate: Callable[[LayerPlan, ExportSettings], Estimate]
    # Weight and scales of a layer of these bits in the artifact.
    bytes_of: BytesOf
    # Both raise CheckpointError, RecipeError, CensusError, ExportError.
    export_vision: Callable[[ExportInputs, Progress], Component]
    export_text: Callable[[ExportInputs, Progress], tuple[Component, EmbeddingTable]]
    # Writes what the folder needs beside its components.
    finish: Callable[[Path, Checkpoint, ImageSettings, ExportSettings], None] = write_nothing
