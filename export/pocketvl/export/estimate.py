"""Disk and memory that an export takes, and whether this machine has them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer
from pocketvl.quant.recipe import Bits
from pocketvl.runtime import names
from pocketvl.runtime.errors import SpaceError

# Graph, tokenizer, template, manifest: what a bundle holds besides weights.
DISK_EXTRA = 32 * 10**6


BytesOf = Callable[[Layer, Bits], int]  # weight and scales of a layer in one target's artifact


@dataclass(frozen=True)
class Estimate:
    """Bytes. artifacts: component -> weights as stored."""

    artifacts: dict[str, int]
    disk: int  # the whole bundle
    memory: int  # most that the export holds at one time


def artifact_bytes(plan: LayerPlan, bytes_of: BytesOf) -> dict[str, int]:
    """Component -> bytes of its weights and scales."""
    artifacts = dict.fromkeys((names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD), 0)
    for layer, bits in plan.layers:
        artifacts[layer.component] += bytes_of(layer, bits)
    return artifacts


def check_space(estimate: Estimate, output: Path) -> str | None:
    """Raise SpaceError where the export cannot succeed; return a warning where memory may run short.

    Disk: free space of the nearest folder above `output` that exists. Memory: refused beyond what the
    machine has at all, warned of beyond what is free now.
    """
    folder = nearest_existing(output.expanduser().absolute())
    free = shutil.disk_usage(folder).free
    if estimate.disk > free:
        raise SpaceError(
            f"The bundle will take about {_gigabytes(estimate.disk)}, but the disk of {folder} has"
            f" {_gigabytes(free)} free; free some space or choose another disk."
        )
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    if estimate.memory > memory.total + swap.total:
        raise SpaceError(
            f"The export needs about {_gigabytes(estimate.memory)} of memory, but this machine has"
            f" {_gigabytes(memory.total)}; use a smaller recipe or a larger machine."
        )
    if estimate.memory > memory.available:
        return (
            f"The export needs about {_gigabytes(estimate.memory)} of memory, but only"
            f" {_gigabytes(memory.available)} are free; close other programs if it is slow or killed."
        )
    return None


def nearest_existing(path: Path) -> Path:
    """The folder, or the first above it that exists. path: absolute."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
