"""How much disk and memory an export will take, known before it starts."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from pocketvl.export.layers import Layer, linear_layers, lm_head
from pocketvl.quant.recipe import Bits, Recipe
from pocketvl.runtime import names
from pocketvl.runtime.errors import SpaceError
from pocketvl.runtime.geometry import ModelGeometry

# Graph, tokenizer, template, manifest: what a bundle holds besides weights.
DISK_EXTRA = 32 * 10**6


StoredBytes = Callable[[Layer, Bits], int]  # weight and scales of a layer in one target's artifact


@dataclass(frozen=True)
class Estimate:
    """Bytes. artifacts: component -> weights as stored."""

    artifacts: dict[str, int]
    disk: int  # the whole bundle
    memory: int  # most that the export holds at one time


def estimate_export(geometry: ModelGeometry, recipe: Recipe) -> Estimate:
    """Sizes of an export. Raises RecipeError if a layer has no bits or cannot take them."""
    artifacts = {names.VISION_ENCODER: 0, names.TEXT_DECODER: 0, names.LM_HEAD: 0}
    loaded = dict(artifacts)
    head = lm_head(geometry.text)
    for layer in linear_layers(geometry):
        component = layer.name.split(".")[0]
        bits = recipe.bits(layer.name, layer.in_features)
        artifacts[component] += stored_bytes(layer, bits)
        loaded[component] += _loaded_bytes(layer, bits)
    if not geometry.text.tie_word_embeddings:
        # A table of its own stays at 8 bits where the head has fewer.
        bits = recipe.bits(head.name, head.in_features)
        artifacts[names.TOKEN_EMBEDDING] = stored_bytes(head, bits if bits.is_float else Bits(8))
    decoder = (names.TEXT_DECODER, names.LM_HEAD)  # one file, lowered together
    memory = max(
        _peak(loaded[names.VISION_ENCODER], artifacts[names.VISION_ENCODER]),
        _peak(sum(loaded[name] for name in decoder), sum(artifacts[name] for name in decoder)),
    )
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, memory)


def check_space(estimate: Estimate, output: Path) -> str | None:
    """Raise SpaceError where the export cannot succeed; return a warning where memory may run short.

    Disk: free space of the nearest folder above `output` that exists. Memory: refused beyond what the
    machine has at all, warned of beyond what is free now.
    """
    folder = _nearest_existing(output.expanduser().absolute())
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


def stored_bytes(layer: Layer, bits: Bits) -> int:
    """Weight and scales in a .pte file: int8 has a float32 scale a row, int4 a bfloat16 scale a group."""
    weights = layer.out_features * layer.in_features
    if bits.bits == 4 and bits.group_size is not None:
        return weights // 2 + 2 * (weights // bits.group_size)
    return weights * bits.bits // 8 + (4 * layer.out_features if bits.bits == 8 else 0)


def _loaded_bytes(layer: Layer, bits: Bits) -> int:
    """A layer's weight while it is lowered: int4 is held as one byte a value, float as float32."""
    return layer.out_features * layer.in_features * (4 if bits.is_float else 1)


def _peak(loaded: int, artifact: int) -> int:
    """Fitted to measured exports: weights stand in memory twice while they are lowered, then serialized."""
    return 13 * 10**8 + 2 * loaded + artifact


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
