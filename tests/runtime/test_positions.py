"""Positions against the reference for text and images; by the max+1 rule, derived by hand, for videos."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2VLConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import (
    Qwen2VLModel,
    Qwen2VLRotaryEmbedding,
    Qwen2VLVisionRotaryEmbedding,
)
from transformers.vision_utils import get_vision_position_ids

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.positions import mrope_positions, text_rope, vision_positions, vision_rope
from tests.support.checkpoints import SMALL_GEOMETRY, config_json
from tests.support.random_source import FULL, FULL_TEXT, FULL_VISION
from tests.support.vocabulary import SPECIAL

Grid = tuple[int, int, int]
GEOMETRIES = [FULL, SMALL_GEOMETRY]
GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda s: (1, 2 * s[0], 2 * s[1]))


def config(geometry: Any) -> Qwen2VLConfig:
    return Qwen2VLConfig(**config_json(geometry, nested=True))


@pytest.fixture(scope="module")
def reference() -> Qwen2VLModel:
    with torch.device("meta"):
        return Qwen2VLModel(config(SMALL_GEOMETRY))


def block(grid: Grid, video: bool = False) -> list[int]:
    pad = SPECIAL.video_pad if video else SPECIAL.image_pad
    return [SPECIAL.vision_start, *[pad] * (grid[0] * grid[1] * grid[2] // 4), SPECIAL.vision_end]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("grid", [(2, 2), (4, 6), (2, 40), (40, 2), (64, 64)])
def test_vision_rope_is_the_references(geometry: Any, grid: tuple[int, int]) -> None:
    ids = get_vision_position_ids(torch.tensor([[1, *grid]]), 2)
    module = Qwen2VLVisionRotaryEmbedding(config(geometry).vision_config)
    cos, sin = module(torch.zeros(1), ids)
    assert np.array_equal(vision_positions(*grid, 2), ids)
    ours = vision_rope(*grid, geometry.vision)
    assert ours[0].dtype == ours[1].dtype == np.float32
    assert ours[0].shape == (grid[0] * grid[1], geometry.vision.head_dim)
    np.testing.assert_allclose(ours[0], cos, atol=4e-6, rtol=0)
    np.testing.assert_allclose(ours[1], sin, atol=4e-6, rtol=0)


def test_vision_order_is_two_by_two_blocks() -> None:
    expected = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert vision_positions(4, 4, 2)[:8].tolist() == expected
    assert vision_positions(4, 4, 2)[8].tolist() == [2, 0]


@settings(max_examples=80)
@given(st.lists(st.one_of(st.integers(0, 9), GRIDS), min_size=1, max_size=8))
def test_ids_of_images_are_the_references(reference: Qwen2VLModel, parts: list[int | Grid]) -> None:
    tokens: list[int] = []
    grids: list[Grid] = []
    for part in parts:
        if isinstance(part, int):
            tokens += [7] * part
        else:
            tokens += block(part)
            grids.append(part)
    tokens.append(7)
    ids, following = mrope_positions(tokens, grids, SPECIAL, 2)
    kinds = (torch.tensor([tokens]) == SPECIAL.image_pad).int()
    expected, delta = reference.get_rope_index(
        torch.tensor([tokens]), kinds, torch.tensor(grids) if grids else None
    )
    assert ids.dtype == np.int64
    assert np.array_equal(ids, expected[:, 0])
    assert following == delta.item() + len(tokens)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 9), GRIDS), min_size=2, max_size=5), st.integers(1, 4)
)
def test_turns_one_by_one_are_the_whole(turns: list[tuple[bool, int, Grid]], slices: int) -> None:
    """Also the defining property: what follows a block starts behind the largest id before it."""
    tokens: list[int] = []
    grids: list[Grid] = []
    pieces, position = [], 0
    for video, words, still in turns:
        grid = (slices, *still[1:]) if video else still
        turn = [7] * words + block(grid, video)
        ids, position = mrope_positions(turn, [grid], SPECIAL, 2, position)
        assert position == ids.max() + 1
        pieces.append(ids)
        tokens += turn
        grids.append(grid)
    whole, following = mrope_positions(tokens, grids, SPECIAL, 2)
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)
    assert following == position


def test_a_long_video_moves_on_by_its_slices() -> None:
    """3 slices of 1x2 tokens behind the start: the largest id is the last slice's, not a row or column."""
    ids, following = mrope_positions([7, *block((3, 2, 4), video=True), 7], [(3, 2, 4)], SPECIAL, 2)
    assert ids.tolist() == [
        [0, 1, 2, 2, 3, 3, 4, 4, 5, 6],
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 3, 2, 3, 2, 3, 5, 6],
    ]
    assert following == 7


def test_a_wide_video_moves_on_by_its_width() -> None:
    ids, following = mrope_positions(block((2, 2, 8), video=True), [(2, 2, 8)], SPECIAL, 2)
    assert ids[:, -1].tolist() == [5, 5, 5]
    assert following == 6


def test_images_side_by_side_without_markers() -> None:
    tokens = [SPECIAL.image_pad] * 5
    ids, following = mrope_positions(tokens, [(1, 2, 2), (1, 4, 4)], SPECIAL, 2, start=10)
    assert ids.tolist() == [[10, 11, 11, 11, 11], [10, 11, 11, 12, 12], [10, 11, 12, 11, 12]]
    assert following == 13


def test_placeholders_and_images_must_agree() -> None:
    tokens = block((1, 4, 4))
    with pytest.raises(PromptError, match="more image placeholders than the 0 images"):
        mrope_positions(tokens, [], SPECIAL, 2)
    with pytest.raises(PromptError, match="fewer image placeholders than the 2 images"):
        mrope_positions(tokens, [(1, 4, 4), (1, 2, 2)], SPECIAL, 2)
    with pytest.raises(PromptError, match=r"\(1, 4, 6\) patches needs 6 placeholder tokens.*token 1"):
        mrope_positions(tokens, [(1, 4, 6)], SPECIAL, 2)
    with pytest.raises(PromptError, match="needs 4 placeholder tokens"):
        mrope_positions([SPECIAL.image_pad] * 3 + [SPECIAL.video_pad], [(1, 4, 4)], SPECIAL, 2)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_text_rope_is_the_references(geometry: Any) -> None:
    random = np.random.default_rng(0)
    ids = random.integers(0, 300, (3, 64))
    ids[:, :3] = 0
    cos, sin = text_rope(ids, geometry.text)
    module = Qwen2VLRotaryEmbedding(config(geometry).text_config)
    expected = module(torch.zeros(1), torch.from_numpy(ids)[:, None])
    assert cos.dtype == sin.dtype == np.float32
    assert cos.shape == (64, geometry.text.head_dim)
    np.testing.assert_allclose(cos, expected[0][0], atol=2e-5, rtol=0)
    np.testing.assert_allclose(sin, expected[1][0], atol=2e-5, rtol=0)
    assert np.all(cos[:3] == 1)


def test_each_section_turns_by_its_own_axis() -> None:
    ids = np.array([[1], [2], [3]])
    cos, sin = text_rope(ids, FULL_TEXT)
    frequencies = 1e6 ** (-np.arange(64) / 64)
    angles = frequencies * np.repeat([1, 2, 3], [16, 24, 24])
    np.testing.assert_allclose(cos[0], np.cos(np.tile(angles, 2)), atol=1e-6)
    np.testing.assert_allclose(sin[0], np.sin(np.tile(angles, 2)), atol=1e-6)


def test_far_positions_stay_with_the_references() -> None:
    """One unit in the last place of a frequency is worth 1e-3 at the end of the context, not more."""
    ids = np.full((3, 1), 32767)
    expected = Qwen2VLRotaryEmbedding(config(FULL).text_config)(
        torch.zeros(1), torch.from_numpy(ids)[:, None]
    )
    np.testing.assert_allclose(text_rope(ids, FULL_TEXT)[0], expected[0][0], atol=2e-3, rtol=0)


def test_rows_of_a_rope_have_length_one() -> None:
    cos, sin = vision_rope(6, 4, FULL_VISION)
    np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-6)
    assert np.array_equal(cos[:, :40], cos[:, 40:])
