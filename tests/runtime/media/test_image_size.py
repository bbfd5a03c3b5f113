"""The size that a message asks for, against transformers' rule."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.bundle.geometry import VisionGeometry
from pocketvl.runtime.errors import ImageError, PromptError
from pocketvl.runtime.media.image_size import ImageSize, image_size
from tests.support.vocabulary import BUCKETS, IMAGE

GOLDEN = Path(__file__).parents[2] / "golden" / "image_size.json"
VISION = VisionGeometry(1, 160, 8, 2, 3, 14, 2, 2, 64)


def test_sizes_of_the_golden_file() -> None:
    data = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert (IMAGE.min_pixels, IMAGE.max_pixels) == (data["min_pixels"], data["max_pixels"])
    for case in data["cases"]:
        arguments = (*case["size"], ImageSize(**case["wanted"]), VISION, IMAGE, tuple(data["buckets"]))
        if case["expected"] is None:
            with pytest.raises((ImageError, PromptError)):
                image_size(*arguments)
        else:
            assert list(image_size(*arguments)) == case["expected"], case


@given(
    height=st.integers(10, 2000),
    width=st.integers(10, 2000),
    limits=st.lists(st.integers(1, 1 << 30), min_size=2, max_size=2).map(sorted),
    resized=st.one_of(st.none(), st.tuples(st.integers(100, 9999), st.integers(100, 9999))),
    detail=st.sampled_from(["auto", "low", "high"]),
)
def test_no_wish_goes_above_the_largest_bucket(
    height: int, width: int, limits: list[int], resized: tuple[int, int] | None, detail: str
) -> None:
    wanted = ImageSize(*limits, *(resized or (None, None)), detail=detail)  # type: ignore[arg-type]
    size = image_size(height, width, wanted, VISION, IMAGE, BUCKETS)
    assert size[0] % 28 == size[1] % 28 == 0
    assert 0 < size[0] * size[1] <= (BUCKETS[0] if detail == "low" else BUCKETS[-1]) * 196


def test_limits_that_contradict_are_named() -> None:
    with pytest.raises(PromptError, match="min_pixels 12845057 lies above its max_pixels 12845056"):
        image_size(9, 9, ImageSize(min_pixels=12845057), VISION, IMAGE, BUCKETS)
