"""The exported vision encoder against transformers' own, run by ExecuTorch from the written file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

from pocketvl.export.component import ExportSettings
from pocketvl.export.executorch.vision import export_vision
from pocketvl.export.executorch.vision_graph import VisionEncoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.target import Component
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.positions import vision_rope
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.exporters import export_inputs
from tests.support.numbers import relative
from tests.support.random_source import RandomSource

GRIDS = ((8, 8), (2, 40), (40, 2), (2, 2), (10, 6))  # square, 1:20, 20:1, one token, in between
BUCKETS = ExportSettings(buckets=(16, 96), vision_shapes="buckets")
DYNAMIC = ExportSettings(buckets=(16, 96))


def source_of(heads: int, head_dim: int, depth: int = 2, merge: int = 2, patch: int = 4) -> RandomSource:
    width = heads * head_dim
    vision = VisionGeometry(
        depth=depth,
        hidden_size=width,
        intermediate_size=width * 2,
        num_heads=heads,
        in_channels=3,
        patch_size=patch,
        temporal_patch_size=2,
        spatial_merge_size=merge,
        output_size=SMALL_GEOMETRY.text.hidden_size,
    )
    return RandomSource(replace(SMALL_GEOMETRY, vision=vision), seed=heads, std=0.1)


def export(
    source: RandomSource, folder: Path, recipe: str = "fp32", settings: ExportSettings = DYNAMIC
) -> tuple[Component, Any]:
    steps: list[float] = []
    inputs_ = export_inputs(source, named_recipe(recipe), folder, settings)
    component = export_vision(inputs_, lambda _, share: steps.append(share))
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    return component, load(folder / names.VISION_ENCODER_PTE)


def load(path: Path) -> Any:
    import executorch.kernels.quantized  # noqa: F401
    from executorch.extension.pybindings import portable_lib

    return portable_lib._load_for_executorch(str(path))


def reference(source: RandomSource) -> Qwen2VisionTransformerPretrainedModel:
    vision = source.geometry.vision
    config = Qwen2VLVisionConfig(
        depth=vision.depth,
        embed_dim=vision.hidden_size,
        hidden_size=vision.output_size,
        mlp_ratio=vision.intermediate_size // vision.hidden_size,
        num_heads=vision.num_heads,
        in_channels=vision.in_channels,
        patch_size=vision.patch_size,
        spatial_merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        attn_implementation="eager",
    )
    model = Qwen2VisionTransformerPretrainedModel(config).eval()
    names = [name for name in source.names() if name.startswith("visual.")]
    model.load_state_dict({name.removeprefix("visual."): source.tensor(name) for name in names})
    return model


def wanted_of(source: RandomSource, patches: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    with torch.no_grad():
        return reference(source)(patches, grid_thw=torch.tensor([[1, rows, columns]])).pooler_output


def inputs(vision: VisionGeometry, rows: int, columns: int) -> list[torch.Tensor]:
    patches = torch.randn(rows * columns, vision.patch_dim, generator=torch.Generator().manual_seed(rows))
    cos, sin = vision_rope(rows, columns, vision)
    return [patches, torch.from_numpy(cos), torch.from_numpy(sin)]


def padded(tensors: list[torch.Tensor], size: int, fill_value: float) -> list[torch.Tensor]:
    count = len(tensors[0])
    rows = [torch.nn.functional.pad(tensor, (0, 0, 0, size - count), value=fill_value) for tensor in tensors]
    return [*rows, (torch.arange(size) < count).float()]


def check_entry_points(component: Component, program: Any) -> None:
    assert set(program.method_names()) == {entry.method for entry in component.entry_points}
    for entry in component.entry_points:
        meta = program.method_meta(entry.method)
        largest = {"patches": 96, "tokens": 24}
        for index, spec in enumerate(entry.inputs):
            shape = tuple(largest.get(size, size) for size in spec.shape)
            assert tuple(meta.input_tensor_meta(index).sizes()) == shape
        assert meta.num_inputs() == len(entry.inputs)
        (output,) = entry.outputs
        shape = tuple(largest.get(size, size) for size in output.shape)
        assert tuple(meta.output_tensor_meta(0).sizes()) == shape


@pytest.mark.parametrize(
    ("heads", "head_dim", "depth", "std", "tolerance"),
    [
        (2, 24, 2, 0.1, 1e-5),
        (3, 32, 1, 0.1, 1e-5),
        (2, 48, 1, 0.5, 1e-4),  # scores of hundreds: softmax must take the largest out first
        (1, 80, 5, 0.1, 1e-5),  # blocks that are repeated, not traced
    ],
)
def test_the_file_computes_what_transformers_does(
    tmp_path: Path, heads: int, head_dim: int, depth: int, std: float, tolerance: float
) -> None:
    source = replace(source_of(heads, head_dim, depth), std=std)
    _, program = export(source, tmp_path)
    for rows, columns in GRIDS:
        tensors = inputs(source.geometry.vision, rows, columns)
        wanted = wanted_of(source, tensors[0], rows, columns)
        assert relative(program.run_method("vision_encoder", tensors)[0], wanted) < tolerance


def test_other_merges(tmp_path: Path) -> None:
    source = source_of(1, 32, depth=1, merge=3)
    _, program = export(source, tmp_path, settings=ExportSettings(buckets=(9, 36)))
    for rows, columns in ((3, 3), (6, 6), (3, 12)):
        tensors = inputs(source.geometry.vision, rows, columns)
        wanted = wanted_of(source, tensors[0], rows, columns)
        assert relative(program.run_method("vision_encoder", tensors)[0], wanted) < 1e-5


def test_a_single_token_is_all_that_fits(tmp_path: Path) -> None:
    """merge_area 1 and a length that leaves nothing dynamic."""
    source = source_of(1, 32, depth=1, merge=1)
    _, program = export(source, tmp_path, settings=ExportSettings(buckets=(4,), vision_shapes="dynamic"))
    tensors = inputs(source.geometry.vision, 2, 2)
    wanted = wanted_of(source, tensors[0], 2, 2)
    assert relative(program.run_method("vision_encoder", tensors)[0], wanted) < 1e-5


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_padding_changes_nothing(tmp_path: Path, recipe: str) -> None:
    source = source_of(2, 24, depth=1, patch=28)  # most of the file is weights
    component, program = export(source, tmp_path, recipe, BUCKETS)
    check_entry_points(component, program)
    assert [entry.patches for entry in component.entry_points] == [16, 96]
    for rows, columns in ((4, 4), (2, 8), (2, 40), (40, 2), (2, 2)):
        tensors = inputs(source.geometry.vision, rows, columns)
        outputs = []
        for entry in component.entry_points:
            for padding in (0.0, 3.0):  # whatever stands there
                if entry.patches is not None and entry.patches >= rows * columns:
                    output = program.run_method(entry.method, padded(tensors, entry.patches, padding))[0]
                    outputs.append(output[: rows * columns // 4])
        assert all(relative(output, outputs[0]) < 1e-6 for output in outputs)
        wanted = wanted_of(source, tensors[0], rows, columns)
        assert relative(outputs[0], wanted) < (1e-5 if recipe == "fp32" else 0.03)
    stored = sum(group.bytes for group in component.layers)
    assert (
        stored < (tmp_path / names.VISION_ENCODER_PTE).stat().st_size < 2 * stored
    )  # weights once for all buckets


@pytest.fixture(scope="module", params=["int8", "int4-small"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    source = source_of(2, 32)
    return source, request.param, *export(source, folder, request.param)


def test_quantized_file_equals_its_fake_quantized_reference(quantized: Any) -> None:
    """Not merely near the float model: near the graph with these very integers, 8-bit inputs included."""
    source, name, _, program = quantized
    recipe = named_recipe(name)
    encoder = VisionEncoder(resolve(recipe, source.geometry))
    fill(encoder, source, recipe.method)
    for rows, columns in GRIDS:
        tensors = inputs(source.geometry.vision, rows, columns)
        value = program.run_method("vision_encoder", tensors)[0]
        with torch.no_grad():
            wanted = encoder(*tensors)
        plain = wanted_of(source, tensors[0], rows, columns)
        assert relative(value, wanted) < 0.02
        assert relative(value, plain) < (0.03 if name == "int8" else 0.25)


def test_layer_groups_tell_stored_bytes(quantized: Any) -> None:
    source, name, component, _ = quantized
    vision = source.geometry.vision
    width, ffn, out = vision.hidden_size, vision.intermediate_size, vision.output_size
    merged = 4 * width
    block = 3 * width * width + width * width + 2 * ffn * width
    rows = 3 * width + width + ffn + width
    inside = vision.depth * block + merged * merged + out * merged
    first = width * vision.patch_dim
    found = {(group.component, group.bits, group.group_size): group for group in component.layers}
    if name == "int8":
        group = found.pop(("vision_encoder", 8, None))
        assert group.layers == 1 + 4 * vision.depth + 2
        scales = 4 * (width + vision.depth * rows + merged + out)
        assert (group.parameters, group.bytes) == (first + inside, first + inside + scales)
    else:
        group = found.pop(("vision_encoder", 4, 32))
        assert (group.layers, group.parameters) == (4 * vision.depth + 2, inside)
        assert group.bytes == inside // 2 + inside // 32 * 2
        assert found.pop(("vision_encoder", 8, None)).layers == 1
    assert not found


def test_entry_points_name_the_files_tensors(quantized: Any) -> None:
    """Of any length; test_padding_changes_nothing asks the same of a method a bucket."""
    _, _, component, program = quantized
    assert [entry.patches for entry in component.entry_points] == [None]
    check_entry_points(component, program)


def test_a_bucket_is_whole_tokens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="30 patches are no whole number of tokens"):
        export(source_of(2, 32, depth=1), tmp_path, settings=ExportSettings(buckets=(16, 30)))
