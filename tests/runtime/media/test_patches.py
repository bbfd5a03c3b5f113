"""Patches against transformers' image processor, bit for bit, and a video's order by hand."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media.patches import patchify
from pocketvl.runtime.media.resize import resize_image, resize_to_bucket
from tests.support.random_source import FULL_VISION
from tests.support.vocabulary import BUCKETS, IMAGE

PROCESSOR = Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=BUCKETS[2] * 14**2)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@settings(max_examples=25)
@given(st.integers(15, 400), st.integers(15, 400))  # where both sides round to at least one factor
@example(20, 400)
@example(400, 20)
@example(333, 77)
@example(1200, 900)
@example(28, 28)
def test_patches_are_the_references(width: int, height: int) -> None:
    image = noise(width, height)
    expected = PROCESSOR(images=[image], return_tensors="np")
    size = resize_to_bucket(height, width, FULL_VISION, IMAGE, BUCKETS[:3])
    patches, grid = patchify(resize_image(image, size), FULL_VISION, IMAGE)
    assert [list(grid)] == expected["image_grid_thw"].tolist()
    assert patches.dtype == np.float32
    assert np.array_equal(patches, expected["pixel_values"])


def test_a_video_is_its_frames_two_at_a_time() -> None:
    frames = [noise(56, 84, seed) for seed in range(4)]
    patches, grid = patchify(frames, FULL_VISION, IMAGE)
    assert grid == (2, 6, 4)
    assert patches.shape == (48, 1176)
    rows = patches.reshape(48, 3, 2, 14, 14)
    stills = [patchify(frame, FULL_VISION, IMAGE)[0].reshape(24, 3, 2, 14, 14) for frame in frames]
    for index, still in enumerate(stills):
        half = slice(0, 24) if index < 2 else slice(24, 48)
        assert np.array_equal(rows[half, :, index % 2], still[:, :, 0])
        assert np.array_equal(still[:, :, 0], still[:, :, 1])


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ImageError, match=r"3 frames cannot be taken 2 at a time"):
        patchify([noise(28, 28)] * 3, FULL_VISION, IMAGE)
    with pytest.raises(ImageError, match="0 frames"):
        patchify([], FULL_VISION, IMAGE)
    with pytest.raises(ImageError, match="30x28 pixels has a side that is no multiple of 28"):
        patchify(noise(30, 28), FULL_VISION, IMAGE)
    with pytest.raises(ImageError, match="RGB of 28x28 pixels like the first, not RGB of 56x28"):
        patchify([noise(28, 28), noise(56, 28)], FULL_VISION, IMAGE)
    with pytest.raises(ImageError, match="not L of 28x28"):
        patchify(noise(28, 28).convert("L"), FULL_VISION, IMAGE)
