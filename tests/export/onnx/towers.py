"""Exported vision towers run by onnxruntime, and what transformers says to the same images."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from pocketvl.export.component import ExportSettings, TensorSource
from pocketvl.export.layer_plan import resolve
from pocketvl.export.modules import linears
from pocketvl.export.onnx.vision import OnnxVisionEncoder, export_vision
from pocketvl.export.target import Component
from pocketvl.export.weights import decided
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.media.patches import Grid
from pocketvl.runtime.positions import vision_rope
from tests.support.exporters import export_inputs

Float32 = NDArray[np.float32]
SETTINGS = ExportSettings(buckets=(16, 96))


def export(source: TensorSource, recipe: Recipe, folder: Path) -> Component:
    steps: list[float] = []
    inputs = export_inputs(source, recipe, folder, SETTINGS)
    component = export_vision(inputs, lambda _, share: steps.append(share))
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    return component


@cache
def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def images_file(folder: Path) -> Path:
    """The graph of transformers.js."""
    (path,) = (folder / names.ONNX_FOLDER).glob("vision_encoder*.onnx")
    return path


def pixels(vision: VisionGeometry, grids: Sequence[Grid], seed: int = 0) -> Float32:
    """Rows of patches for all slices of all images."""
    rows = sum(slices * rows * columns for slices, rows, columns in grids)
    return np.random.default_rng(seed).standard_normal((rows, vision.patch_dim)).astype(np.float32)


def in_one_call(folder: Path, patches: Float32, grids: Sequence[Grid]) -> Float32:
    """By the graph of transformers.js."""
    feeds = {"pixel_values": patches, "grid_thw": np.array(grids, np.int64)}
    (features,) = session(images_file(folder)).run(["image_features"], feeds)
    return features


def slice_by_slice(folder: Path, vision: VisionGeometry, patches: Float32, grids: Sequence[Grid]) -> Float32:
    """By the host's graph."""
    parts, first = [], 0
    for slices, rows, columns in grids:
        cos, sin = vision_rope(rows, columns, vision)
        for _ in range(slices):
            now = slice(first, first + rows * columns)
            first = now.stop
            feeds = {names.PATCHES: patches[now], names.ROPE_COS: cos, names.ROPE_SIN: sin}
            parts += session(folder / names.HOST_VISION_ENCODER).run([names.IMAGE_EMBEDDINGS], feeds)
    return np.concatenate(parts)


def by_transformers(model: torch.nn.Module, patches: Float32, grids: Sequence[Grid]) -> Float32:
    with torch.no_grad():
        output = model(torch.from_numpy(patches), grid_thw=torch.tensor(grids))
    features: Float32 = output.pooler_output.numpy()
    return features


def quantize_weights(model: torch.nn.Module, source: TensorSource, recipe: Recipe) -> None:
    """Give transformers' tower the values that the recipe's integers stand for."""
    state = model.state_dict()
    for leaf in linears(OnnxVisionEncoder(resolve(recipe, source.geometry))):
        weight = state[f"{leaf.source.removeprefix('visual.')}.weight"]
        values = torch.from_numpy(decided(leaf, source, recipe.method).dequantize())
        weight.copy_(values.reshape(weight.shape))
