"""What stands in the written packages and in the manifest beside them."""

import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.package import MODEL_FILE, WEIGHT_FILE, convert, import_coremltools
from pocketvl.export.coreml.text import export_head
from pocketvl.export.coreml.vision import export_vision
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import LayerGroup
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.engines.coreml.parse import parse_functions
from pocketvl.runtime.engines.coreml.program import Stored
from pocketvl.runtime.engines.coreml.protobuf import read_model
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import SpaceError
from tests.export.coreml import bundles
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.exporters import export_inputs
from tests.support.geometries import ONE_LAYER
from tests.support.random_source import RandomSource

TEXT, VISION = SMALL_GEOMETRY.text, SMALL_GEOMETRY.vision


@pytest.fixture(scope="module")
def bundle(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("chunks") / "bundle"
    return bundles.export(small_checkpoint, folder, "int4", bundles.CHUNKED)


def test_float_weights_are_fp16_by_either_name(tmp_path: Path) -> None:
    source = RandomSource(SMALL_GEOMETRY)
    packages, bits = {}, {}
    for name in ("fp32", "fp16"):
        folder = tmp_path / name
        folder.mkdir()
        component, table = export_head(
            export_inputs(source, named_recipe(name), folder, bundles.SETTINGS), lambda *_: None
        )
        path = folder / names.HEAD_PACKAGE
        model = path / MODEL_FILE
        packages[name] = ((path / WEIGHT_FILE).read_bytes(), table, parse_functions(read_model(model), model))
        bits[name] = [group.bits for group in component.layers]
    assert packages["fp32"][:2] == packages["fp16"][:2]
    assert packages["fp32"][2].keys() == packages["fp16"][2].keys()
    assert bits == {"fp32": [32], "fp16": [16]}


def test_the_manifest(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.target == "coreml"
    assert set(manifest.provenance.tools) == {"torch", "coremltools"}
    assert [(entry.name, entry.file, entry.method) for entry in manifest.entry_points] == [
        ("vision_encoder", "vision_encoder.mlpackage", "encode_16"),
        ("vision_encoder", "vision_encoder.mlpackage", "encode_64"),
        ("text_decoder", "text_decoder_0.mlpackage", "decode"),
        ("text_decoder", "text_decoder_0.mlpackage", "prefill_8"),
        ("text_decoder", "text_decoder_0.mlpackage", "prefill_32"),
        ("text_decoder", "text_decoder_1.mlpackage", "decode"),
        ("text_decoder", "text_decoder_1.mlpackage", "prefill_8"),
        ("text_decoder", "text_decoder_1.mlpackage", "prefill_32"),
        ("lm_head", "head.mlpackage", "lm_head"),
        ("token_embedding", "head.mlpackage", "token_embedding"),
    ]
    elements = TEXT.vocab_size * TEXT.hidden_size
    assert manifest.layers[-1] == LayerGroup("lm_head", 8, None, 1, elements, elements + 2 * TEXT.vocab_size)
    assert [(group.component, group.bits, group.layers) for group in manifest.layers] == [
        ("vision_encoder", 8, 3 + 4 * VISION.depth),
        ("text_decoder", 4, 7 * TEXT.num_layers),
        ("lm_head", 8, 1),
    ]


def test_the_functions_are_those_of_the_manifest(bundle: Bundle) -> None:
    for entry in bundle.manifest.entry_points:
        function = Package.open(bundle.path(entry.file)).functions[entry.method]
        for specs, types in ((entry.inputs, function.inputs), (entry.outputs, function.outputs)):
            assert {spec.name: (spec.dtype, spec.shape) for spec in specs} == {
                name: (kind.dtype, kind.shape) for name, kind in types.items()
            }
        states = {name: kind.shape for name, kind in function.states.items()}
        cache = (1, TEXT.num_kv_heads, 96, TEXT.head_dim)  # a layer each
        assert states == ({"k_cache": cache, "v_cache": cache} if entry.name == "text_decoder" else {})


def test_names_are_what_core_ml_takes(bundle: Bundle) -> None:
    for entry in bundle.manifest.entry_points:
        path = bundle.path(entry.file) / MODEL_FILE
        program = parse_functions(read_model(path), path)[entry.method]
        given = [
            *program.inputs,
            *program.states,
            *(port for op in program.operations for port in op.outputs),
        ]
        assert given
        assert [port.name for port in given if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", port.name)] == []


def test_no_product_is_scaled_after_it_was_made(bundle: Bundle) -> None:
    layers = {"vision_encoder": VISION.depth, "text_decoder": 1, "lm_head": 0, "token_embedding": 0}
    for entry in bundle.manifest.entry_points:
        path = bundle.path(entry.file) / MODEL_FILE
        operations = parse_functions(read_model(path), path)[entry.method].operations
        types = [op.type for op in operations]
        assert "scaled_dot_product_attention" not in types
        assert types.count("softmax") == layers[entry.name]
        # q k^T goes to the mask, the sum to softmax, nothing in between.
        producers = {port.name: op for op in operations for port in op.outputs}
        for softmax in (op for op in operations if op.type == "softmax"):
            added = producers[softmax.arguments["x"][0].name]  # type: ignore[union-attr]
            assert added.type == "add"
            assert producers[added.arguments["x"][0].name].type == "matmul"  # type: ignore[union-attr]


def test_integers_and_scales_are_the_recipes(bundle: Bundle, small_checkpoint: Path) -> None:
    recipe = named_recipe("int4")
    wanted = bundles.quantized_layers(small_checkpoint, SMALL_GEOMETRY, recipe)
    layers = {leaf.layer: wanted[f"{leaf.source}.weight"] for leaf in bundles.leaves(SMALL_GEOMETRY, recipe)}
    found = set()
    for entry in bundle.manifest.entry_points:
        folder = bundle.path(entry.file)
        program = parse_functions(read_model(folder / MODEL_FILE), folder / MODEL_FILE)[entry.method]
        file = WeightFile(folder / WEIGHT_FILE)
        for operation in program.operations:
            if operation.type != "constexpr_blockwise_shift_scale":
                continue
            assert set(operation.arguments) == {"data", "scale"}
            (data,), (scale,) = operation.arguments["data"], operation.arguments["scale"]
            assert isinstance(data, Stored)
            assert isinstance(scale, Stored)
            (layer,) = [name for name in layers if name.replace(".", "_") == operation.name]
            expected = layers[layer]
            assert data.type.dtype == f"int{expected.bits}"
            np.testing.assert_array_equal(file.read("", data.offset, data.type), expected.integers)
            scales = file.read("", scale.offset, scale.type)
            np.testing.assert_array_equal(scales, expected.scales.astype(np.float16))
            found.add(layer)
    assert found == set(layers)


def test_weights_are_stored_once_for_all_functions_and_an_export_twice_is_the_same(tmp_path: Path) -> None:
    sizes, digests = [], []
    for name, buckets in (("one", (16,)), ("again", (16,)), ("two", (16, 64))):
        folder = tmp_path / name
        folder.mkdir()
        source, settings = RandomSource(ONE_LAYER), ExportSettings(buckets)
        export_vision(export_inputs(source, named_recipe("int4-small"), folder, settings), lambda *_: None)
        sizes.append((folder / names.VISION_ENCODER_PACKAGE / WEIGHT_FILE).stat().st_size)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests.append([sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1] != digests[2]
    assert sizes[0] <= sizes[2] <= 1.02 * sizes[0]


COMMON = {
    "recipe": "int4",
    "hidden_size": "96",
    "num_layers": "2",
    "vocab_size": "384",
    "head_dim": "16",
    "rope_theta": "1000000.0",
    "mrope_section": "2,3,3",
    "patch_size": "14",
    "merge_area": "4",
}


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("vision_encoder.mlpackage", {"buckets": "16,64"}),
        (
            "text_decoder_1.mlpackage",
            {"first_layer": "1", "layers": "1", "max_context": "96", "prefill_chunk": "32"},
        ),
        ("head.mlpackage", {}),
    ],
)
def test_the_description(bundle: Bundle, file: str, own: dict[str, str]) -> None:
    model = read_model(bundle.path(file) / MODEL_FILE)
    metadata = model.description.metadata
    assert metadata.shortDescription
    assert (metadata.author, metadata.versionString) == ("pocketvl", bundle.manifest.provenance.pocketvl)
    assert "the licence of the checkpoint" in metadata.license
    facts = dict(metadata.userDefined)
    assert facts.pop("pocketvl") == metadata.versionString
    assert facts.pop("quantization_method") == bundle.manifest.quantization_method
    assert facts == COMMON | own
    for function in model.description.functions:
        for feature in (*function.input, *function.output, *function.state):
            assert feature.shortDescription


def test_a_tied_head_is_stored_once(bundle: Bundle) -> None:
    size = (bundle.path("head.mlpackage") / WEIGHT_FILE).stat().st_size
    elements = TEXT.vocab_size * TEXT.hidden_size
    assert size < 1.05 * (elements + 2 * TEXT.vocab_size) + 2 * TEXT.vocab_size  # the rest is a bias of zeros


def test_a_full_disk_is_no_matter_of_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """coremltools writes weights while it converts."""

    def write(*_: object, **__: object) -> None:
        raise RuntimeError("[MIL FileWriter]: Unknown error occurred while writing data to the file.")

    monkeypatch.setattr(import_coremltools(), "convert", write)
    with pytest.raises(SpaceError, match="temporary files"):
        convert(None)
