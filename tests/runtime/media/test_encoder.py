"""What an image becomes before the encoder runs: each may have limits and a size of its own."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import FileRecord
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.encoder import VisionPipeline
from pocketvl.runtime.media.image_size import ImageSize
from pocketvl.runtime.media.resize import smart_resize
from tests.support.manifests import small_manifest
from tests.support.vocabulary import IMAGE

LARGEST = 1024  # patches
FILES = tuple(FileRecord(name, 1, "0" * 64) for name in (names.VISION_ENCODER_PTE, names.TEXT_DECODER_PTE))
MANIFEST = replace(small_manifest(FILES), image=IMAGE, buckets=(16, 256, LARGEST))
PIPELINE = VisionPipeline(MANIFEST, MANIFEST.image, cast(Engine, None))  # the engine only encodes


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, (280, 196)),
        ({"max_pixels": 20_000}, (140, 112)),
        ({"min_pixels": 100_000}, (392, 280)),
        ({"min_pixels": 784, "max_pixels": 784}, (28, 28)),
        ({"resized_height": 120, "resized_width": 300}, (308, 112)),
        ({"resized_height": 10, "resized_width": 10}, (56, 56)),  # the lower limit holds
        ({"resized_height": 224, "resized_width": 224, "max_pixels": 20_000}, (140, 140)),
        ({"resized_height": 2800, "resized_width": 2800}, (448, 448)),  # as many as the largest bucket has
        ({"min_pixels": 1 << 40, "max_pixels": 1 << 40}, (504, 364)),  # likewise, but not by much
    ],
)
def test_an_image_has_its_own_limits(limits: dict[str, int], expected: tuple[int, int]) -> None:
    prepared = PIPELINE.prepare(noise(280, 200), ImageSize(**limits))
    assert prepared.image.size == expected
    assert prepared.grid == (1, expected[1] // 14, expected[0] // 14)
    assert PIPELINE.prepare(noise(280, 200)).image.size == (280, 196)  # and no other has them


@settings(max_examples=60)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_given_size_goes_through_smart_resize(height: int, width: int, low: int, more: int) -> None:
    height, width = min(height, 200 * width), min(width, 200 * height)
    wanted = ImageSize(low, low + more, height, width)
    prepared = PIPELINE.prepare(noise(30, 40), wanted)
    columns, rows = (side // 14 for side in prepared.image.size)
    assert rows * columns <= LARGEST
    room = LARGEST * 14**2
    expected = smart_resize(height, width, 28, min(low, room), min(low + more, room))
    if expected[0] * expected[1] <= room:
        assert prepared.image.size == expected[::-1]


def test_limits_that_contradict_each_other() -> None:
    with pytest.raises(PromptError, match="min_pixels 3136 lies above its max_pixels 1000"):
        PIPELINE.prepare(noise(280, 200), ImageSize(max_pixels=1000))
