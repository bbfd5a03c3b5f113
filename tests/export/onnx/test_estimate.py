"""Sizes known before an export, against what it writes."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import Layer
from pocketvl.export.onnx.estimate import estimate_onnx, stored_bytes
from pocketvl.export.onnx.stored import pack
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import NAMED_RECIPES, Bits, named_recipe
from pocketvl.runtime import names
from tests.support.checkpoints import SMALL_GEOMETRY


@pytest.mark.parametrize(
    ("columns", "bits"),
    [
        (96, Bits(4, 32)),
        (96, Bits(4, 96)),
        (1536, Bits(4, 96)),
        (1536, Bits(8)),
        (96, Bits(8)),
        (1176, Bits(8)),
    ],
)
def test_stored_bytes_are_those_of_packed_integers(columns: int, bits: Bits) -> None:
    group = bits.group_size or columns
    scales = np.ones((3, columns // group), np.float32)
    packed = pack(QuantizedLinear(np.zeros((3, columns), np.int8), scales, bits.bits, group))
    assert stored_bytes(Layer("x", 3, columns), bits) == packed.data.nbytes + packed.scales.nbytes


def test_stored_bytes_of_floats() -> None:
    layer = Layer("x", 64, 96)
    assert [stored_bytes(layer, Bits(bits)) for bits in (32, 16)] == [64 * 96 * 4, 64 * 96 * 2]


def test_smaller_recipes_are_smaller() -> None:
    sizes = [estimate_onnx(SMALL_GEOMETRY, named_recipe(name), ExportSettings()) for name in NAMED_RECIPES]
    assert [size.disk for size in sizes] == sorted((size.disk for size in sizes), reverse=True)


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_of_its_own_is_written_twice(tied: bool) -> None:
    geometry = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, tie_word_embeddings=tied))
    estimate = estimate_onnx(geometry, named_recipe("int8"), ExportSettings())
    head = estimate.artifacts[names.LM_HEAD]
    assert estimate.artifacts[names.TOKEN_EMBEDDING] == (head if tied else 2 * head)
