"""Attention in fp16: the same as torch's, in blocks too, and right where plain fp16 overflows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml import fp16
from pocketvl.export.coreml.fp16 import attend, block_rows
from pocketvl.export.coreml.package import MODEL_FILE
from pocketvl.export.coreml.vision import export_vision
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engines.coreml.engine import open_coreml
from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.engines.coreml.parse import parse_functions
from pocketvl.runtime.engines.coreml.protobuf import read_model
from tests.export.coreml import bundles
from tests.support.checkpoints import write_checkpoint, write_weights
from tests.support.exporters import export_inputs
from tests.support.geometries import GEOMETRIES, ONE_LAYER
from tests.support.numbers import relative
from tests.support.random_source import RandomSource

_WIDE = GEOMETRIES["tied, 4/1 heads of 64"]
GEOMETRY = ModelGeometry(_WIDE.vision, replace(_WIDE.text, num_layers=2))
SLOW = 22  # pairs of elements from here on turn by less than 1e-4 a position
CALLS = (32, 20, 5, 1, 1)


def inputs(queries: int, rows_of_mask: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(queries)
    q, k, v = (torch.randn(1, 2, size, 8, generator=generator) for size in (queries, 12, 12))
    mask = torch.where(torch.rand(1, 1, rows_of_mask, 12, generator=generator) < 0.3, -3e4, 0.0)
    return q, k, v, mask


@pytest.mark.parametrize(("queries", "rows_of_mask"), [(10, 10), (10, 1), (7, 7), (1, 1)])
@pytest.mark.parametrize("most", [1 << 25, 2 * 12 * 3, 1])
def test_attention_is_torchs_in_any_blocks(
    monkeypatch: pytest.MonkeyPatch, queries: int, rows_of_mask: int, most: int
) -> None:
    monkeypatch.setattr(fp16, "_MOST_SCORES", most)
    q, k, v, mask = inputs(queries, rows_of_mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(q * 8**0.5, k, v, attn_mask=mask)
    torch.testing.assert_close(attend(q, k, v, mask), wanted)


@pytest.mark.parametrize(
    ("heads", "queries", "keys", "rows"),
    [
        (16, 1024, 1024, 1024),  # vision
        (16, 2304, 2304, 768),
        (16, 4096, 4096, 512),
        (2, 6 * 256, 2048, 6 * 256),  # prefill of the decoder
        (2, 6 * 256, 16384, 768),
    ],
)
def test_blocks_of_the_full_size(heads: int, queries: int, keys: int, rows: int) -> None:
    assert block_rows(heads, queries, keys) == rows
    assert heads * rows * keys * 2 <= 64 << 20


def test_a_tower_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outputs, products = [], []
    for name, most in (("whole", 1 << 25), ("blocks", 2 * 16 * 6)):
        monkeypatch.setattr(fp16, "_MOST_SCORES", most)
        (tmp_path / name).mkdir()
        source, settings = RandomSource(ONE_LAYER, std=0.3), ExportSettings((16,))
        inputs = export_inputs(source, named_recipe("fp32"), tmp_path / name, settings)
        export_vision(inputs, lambda *_: None)
        path = tmp_path / name / names.VISION_ENCODER_PACKAGE
        function = Package.open(path).function()
        generator = np.random.default_rng(0)
        given = {
            name: generator.standard_normal(kind.shape).astype(kind.numpy)
            for name, kind in function.signature.inputs.items()
        }
        (output,) = function.run(given | {"key_mask": np.ones(16, np.float16)}).values()
        outputs.append(output)
        program = parse_functions(read_model(path / MODEL_FILE), path)["encode_16"]
        products.append(sum(op.type == "softmax" for op in program.operations))
    assert products == [1, 3]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=2e-3, atol=2e-3)


def bias_slow_pairs(checkpoint: Path, text: TextGeometry, size: float) -> None:
    """Give queries and keys biases of up to `size` where rotation is slow, as Qwen2 has them."""
    tensors = load_file(checkpoint / "model.safetensors")
    generator = torch.Generator().manual_seed(5)
    half = text.head_dim // 2
    slow = [*range(SLOW, half), *range(half + SLOW, text.head_dim)]
    for name, bias in tensors.items():
        if name.endswith(("q_proj.bias", "k_proj.bias")):
            added = torch.zeros(len(bias) // text.head_dim, text.head_dim)
            added[:, slow] = size * (0.5 + 0.5 * torch.rand(len(added), len(slow), generator=generator))
            tensors[name] = (bias.float() + added.flatten()).to(bias.dtype)
    write_weights(checkpoint, tensors)


def products(checkpoint: Path) -> float:
    """A lower bound of the first layer's largest q k^T: of what the biases alone make of it."""
    tensors = load_file(checkpoint / "model.safetensors")
    q, k = (tensors[f"model.layers.0.self_attn.{name}_proj.bias"].double() for name in "qk")
    return float((q.view(-1, GEOMETRY.text.head_dim) @ k).max())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    """Scores beyond fp16 before they are scaled, and too large to tell keys apart in fp16 after."""
    folder = tmp_path_factory.mktemp("large")
    checkpoint = folder / "checkpoint"
    write_checkpoint(checkpoint, GEOMETRY)
    bias_slow_pairs(checkpoint, GEOMETRY.text, 100)
    assert products(checkpoint) > 1.5 * 65504
    settings = ExportSettings((16,), max_context=96, prefill_chunk=32)
    return bundles.export(checkpoint, folder / "bundle", "fp32", settings), checkpoint


@pytest.mark.parametrize(("round_fp16", "tolerance"), [(False, 5e-3), (True, 2e-2)])  # as in test_parity.py
def test_keys_with_large_biases(large: tuple[Bundle, Path], round_fp16: bool, tolerance: float) -> None:
    bundle, checkpoint = large
    ids = bundles.token_ids(sum(CALLS))
    wanted = bundles.reference_logits(checkpoint, ids)
    engine = open_coreml(bundle, native=False, round_fp16=round_fp16)
    assert relative(bundles.logits(bundle, engine, ids, CALLS), wanted) < tolerance
