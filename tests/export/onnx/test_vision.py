"""The exported vision towers against transformers' own, run by onnxruntime from the written files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2VLForConditionalGeneration

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.layer_plan import resolve
from pocketvl.export.onnx.census import census
from pocketvl.export.onnx.convert import write_graph
from pocketvl.export.onnx.data_file import DataFile
from pocketvl.export.onnx.vision import OnnxVisionEncoder, write_images
from pocketvl.export.onnx.weights import externalize
from pocketvl.export.tiny import checkpoint_folder
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.signature import host_signature
from pocketvl.runtime.errors import CensusError
from pocketvl.runtime.media.patches import Grid
from tests.export.executorch.test_vision import reference, source_of
from tests.export.onnx import towers
from tests.support.numbers import relative

# Square, 1:20, 20:1, one token, a video of two slices: all in one call.
GRIDS: list[Grid] = [(1, 8, 8), (1, 2, 40), (1, 40, 2), (1, 2, 2), (2, 4, 6)]


@pytest.mark.parametrize(
    ("heads", "head_dim", "std"),
    [(3, 20, 0.1), (2, 48, 0.5)],  # 0.5: scores of hundreds
)
def test_float_graphs_compute_what_transformers_does(
    tmp_path: Path, heads: int, head_dim: int, std: float
) -> None:
    source = replace(source_of(heads, head_dim), std=std)
    vision = source.geometry.vision
    towers.export(source, named_recipe("fp32"), tmp_path)
    patches = towers.pixels(vision, GRIDS)
    wanted = towers.by_transformers(reference(source), patches, GRIDS)
    assert relative(towers.in_one_call(tmp_path, patches, GRIDS), wanted) < 1e-4
    assert relative(towers.slice_by_slice(tmp_path, vision, patches, GRIDS), wanted) < 1e-4


@pytest.mark.parametrize(("merge", "grids"), [(1, [(1, 3, 5), (1, 1, 1)]), (3, [(1, 3, 3), (2, 6, 9)])])
def test_other_merges(tmp_path: Path, merge: int, grids: list[Grid]) -> None:
    source = source_of(2, 32, depth=1, merge=merge)
    vision = source.geometry.vision
    towers.export(source, named_recipe("fp32"), tmp_path)
    patches = towers.pixels(vision, grids)
    wanted = towers.by_transformers(reference(source), patches, grids)
    assert relative(towers.in_one_call(tmp_path, patches, grids), wanted) < 1e-4
    assert relative(towers.slice_by_slice(tmp_path, vision, patches, grids), wanted) < 1e-4


@pytest.fixture(scope="module", params=["int8", "int4-small"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    source, recipe = source_of(2, 32), named_recipe(request.param)
    return folder, source, recipe, towers.export(source, recipe, folder)


def test_quantized_graphs_compute_with_the_recipes_integers(quantized: Any) -> None:
    """Off by no more than inputs of 8 bits cost.

    The largest of a block of 64 normal values is 2.6 deviations on average, so a step of rounding is
    2.6 / 127 of one, and its error 2.6 / 127 / sqrt(12) = 0.6 % of what goes into a layer. 11 layers lie
    behind one another: sqrt(11) * 0.6 % = 2 %.
    """
    folder, source, recipe, _ = quantized
    vision = source.geometry.vision
    patches = towers.pixels(vision, GRIDS)
    model = reference(source)
    towers.quantize_weights(model, source, recipe)
    wanted = towers.by_transformers(model, patches, GRIDS)
    assert relative(towers.in_one_call(folder, patches, GRIDS), wanted) < 0.02
    assert relative(towers.slice_by_slice(folder, vision, patches, GRIDS), wanted) < 0.02


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, source = tmp_path_factory.mktemp("fp32"), source_of(2, 24, depth=1)
    towers.export(source, named_recipe("fp32"), folder)
    return folder, source, reference(source)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4),
    st.integers(0, 9),
)
def test_any_images_in_one_call(floats: Any, tokens: list[Grid], seed: int) -> None:
    folder, source, model = floats
    grids = [(slices, rows * 2, columns * 2) for slices, rows, columns in tokens]
    patches = towers.pixels(source.geometry.vision, grids, seed)
    features = towers.in_one_call(folder, patches, grids)
    assert relative(features, towers.by_transformers(model, patches, grids)) < 1e-4
    alone = towers.slice_by_slice(folder, source.geometry.vision, patches, grids)
    assert relative(features, alone) < 1e-5


def test_a_slice_sees_no_other(quantized: Any) -> None:
    folder, source, _, _ = quantized
    grids: list[Grid] = [(1, 4, 4), (2, 2, 6), (1, 4, 4)]
    patches = towers.pixels(source.geometry.vision, grids)
    before = towers.in_one_call(folder, patches, grids)
    patches[16:28] *= -1  # the first slice of the second image
    after = towers.in_one_call(folder, patches, grids)
    changed = (before != after).any(axis=1)
    assert changed.tolist() == [False] * 4 + [True] * 3 + [False] * 7


def test_layer_groups_tell_stored_bytes(quantized: Any) -> None:
    _, source, recipe, component = quantized
    vision = source.geometry.vision
    bits = [(group.bits, group.group_size, group.layers) for group in component.layers]
    inner = 4 * vision.depth + 2
    assert bits == ([(8, None, 1 + inner)] if recipe.name == "int8" else [(8, None, 1), (4, 32, inner)])
    first = vision.hidden_size * vision.patch_dim
    assert sum(group.parameters for group in component.layers) == first + sum(
        leaf.numel()
        for name, leaf in reference(source).named_parameters()
        if name.endswith("weight") and leaf.dim() == 2
    )


def test_weights_are_stored_once_beside_small_graphs(quantized: Any) -> None:
    folder, _, recipe, component = quantized
    suffix = "_int8" if recipe.name == "int8" else "_q4"
    files = {path.name: path.stat().st_size for path in (folder / names.ONNX_FOLDER).iterdir()}
    data = files.pop(f"vision_encoder{suffix}.onnx_data")
    assert set(files) == {"host_vision_encoder.onnx", f"vision_encoder{suffix}.onnx"}
    stored = sum(group.bytes for group in component.layers)
    pages = 4096 * 3 * sum(group.layers for group in component.layers)  # weight, scales and bias begin on one
    assert stored < data < stored + pages
    for file in files:
        model = onnx.load(folder / names.ONNX_FOLDER / file, load_external_data=False)
        inside = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        assert inside < 1000
        assert model.ir_version <= 10
        onnx.checker.check_model(str(folder / names.ONNX_FOLDER / file))


def test_the_census_looks_into_the_loop(tmp_path: Path) -> None:
    source, recipe = source_of(2, 32, depth=1), named_recipe("int8")
    encoder = OnnxVisionEncoder(resolve(recipe, source.geometry))
    with DataFile(tmp_path / "vision.onnx_data") as data:
        externalize(encoder, source, recipe.method, data)
    ports = host_signature(names.VISION_ENCODER, source.geometry)
    host, images = tmp_path / "host.onnx", tmp_path / "images.onnx"
    write_graph(encoder, ports.inputs, ports.outputs, host)
    write_images(host, source.geometry.vision, images)
    census({images: encoder})
    model = onnx.load(images, load_external_data=False)
    fc1, proj = (f"blocks.0.{name}.scales" for name in ("fc1", "proj"))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    del tensors[proj].external_data[:]
    tensors[proj].external_data.extend(tensors[fc1].external_data[:2])
    length = 4 * source.geometry.vision.hidden_size  # of proj's scales; fc1 has more rows
    tensors[proj].external_data.add(key="length", value=str(length))
    onnx.save(model, images)
    with pytest.raises(
        CensusError, match=r"vision_encoder\.blocks\.0\.proj was written into .* of other values"
    ):
        census({images: encoder})


def test_entry_point_names_the_graphs_tensors(quantized: Any) -> None:
    folder, _, _, component = quantized
    (entry,) = component.entry_points
    assert (entry.file, entry.method, entry.patches) == (names.HOST_VISION_ENCODER, "main", None)
    graph = towers.session(folder / entry.file)
    for specs, found in ((entry.inputs, graph.get_inputs()), (entry.outputs, graph.get_outputs())):
        assert [(spec.name, list(spec.shape)) for spec in specs] == [(one.name, one.shape) for one in found]
        assert {spec.dtype for spec in specs} == {"float32"}


def test_the_tiny_model(tmp_path: Path) -> None:
    source = open_checkpoint("tiny")
    vision = source.geometry.vision
    grids: list[Grid] = [(1, 8, 8), (1, 4, 12)]
    patches = towers.pixels(vision, grids)
    model = Qwen2VLForConditionalGeneration.from_pretrained(checkpoint_folder(), dtype=torch.float32)
    wanted = towers.by_transformers(model.model.visual.eval(), patches, grids)
    towers.export(source, named_recipe("fp32"), tmp_path)
    features = towers.in_one_call(tmp_path, patches, grids)
    assert relative(features, wanted) < 1e-4
    assert np.abs(features - towers.slice_by_slice(tmp_path, vision, patches, grids)).max() < 1e-4
