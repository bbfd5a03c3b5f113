"""Whether a camera's frame shows something else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.media.change import CHANGED, difference, has_changed, thumbnail

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "change.json").read_text(encoding="utf-8")
)


def frame(described: dict[str, Any]) -> np.ndarray:
    pixels = np.full((64, 64, 3), described.get("level", 100), np.uint8)
    if "spot" in described:
        left, top, side, level = described["spot"]
        pixels[top : top + side, left : left + side] = level
    return pixels


def test_golden_thumbnails() -> None:
    for case in GOLDEN["thumbnails"]:
        y, x, c = np.indices((case["height"], case["width"], 3))
        pixels = ((x * x + 7 * x * y + 13 * y + 29 * c) % 256).astype(np.uint8)
        assert thumbnail(pixels).tolist() == case["cells"]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_golden_changes(case: dict[str, Any]) -> None:
    first, second = thumbnail(frame(case["first"])), thumbnail(frame(case["second"]))
    assert difference(first, second) == case["difference"]
    assert has_changed(first, second) == has_changed(second, first) == case["changed"]
    assert GOLDEN["least_change"] == CHANGED


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 255))
def test_every_size_has_a_thumbnail(width: int, height: int, level: int) -> None:
    cells = thumbnail(np.full((height, width, 3), level, np.uint8))
    assert cells.shape == (16, 16)
    assert (cells == level).all()


def test_noise_is_no_change() -> None:
    random = np.random.default_rng(0)
    noisy = [np.clip(100 + random.normal(0, 12, (480, 640, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    assert not has_changed(*map(thumbnail, noisy))
