"""Sizes against transformers, and that every image fits the largest bucket."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as reference

from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media.resize import resize_to_bucket, smart_resize
from tests.support.random_source import FULL_VISION
from tests.support.vocabulary import BUCKETS, IMAGE

SIDES = st.one_of(st.integers(1, 60), st.integers(1, 3000), st.integers(1, 500).map(lambda n: 14 * n))


@settings(max_examples=500)
@given(SIDES, SIDES, st.sampled_from([28, 16]), st.integers(1, 100_000), st.integers(0, 3_000_000))
@example(70, 70, 28, 3136, 12845056)  # 2.5 factors: half to even
@example(15, 1000, 28, 3136, 12845056)  # the least that rounds to a whole factor
def test_smart_resize_is_the_reference(height: int, width: int, factor: int, low: int, more: int) -> None:
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ImageError):
            smart_resize(height, width, factor, low, low + more)
        return
    if min(height, width) <= factor // 2:
        height, width = height + factor // 2, width + factor // 2  # see the next test
    expected = reference(height, width, factor, low, low + more)
    assert smart_resize(height, width, factor, low, low + more) == expected


@pytest.mark.parametrize(
    ("size", "low", "expected"),
    [
        ((12, 1000), 3136, (28, 1008)),
        ((1000, 12), 3136, (1008, 28)),
        ((14, 300), 3136, (28, 308)),
        ((1, 200), 3136, (28, 196)),
        ((5, 50), 3136, (28, 196)),  # 28 x 56 would be too few pixels
        ((1, 200), 200_704, (56, 6356)),
    ],
)
def test_a_side_that_rounds_to_nothing_is_one_factor_first(
    size: tuple[int, int], low: int, expected: tuple[int, int]
) -> None:
    assert smart_resize(*size, 28, low, 12845056) == expected  # by hand, from the rule of qwen-vl-utils


@given(st.integers(1, 14), st.integers(1, 2800), st.booleans())
def test_thin_strips_keep_their_length(thin: int, long: int, upright: bool) -> None:
    long = min(long, thin * 200)
    size = smart_resize(*((long, thin) if upright else (thin, long)), 28, 1, 10**9)
    assert sorted(size) == sorted((28, max(28, round(long / 28) * 28)))


def test_halves_go_to_the_even_number() -> None:
    assert smart_resize(70, 98, 28, 1, 10**6) == (56, 112)


@pytest.mark.parametrize("size", [(1, 201), (4020, 20), (0, 10)])
def test_impossible_shapes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{size[1]}x{size[0]} pixels"):
        smart_resize(*size, 28, 3136, 10**6)


@settings(max_examples=500)
@given(
    SIDES,
    SIDES,
    st.sampled_from([1, 3136, 200_000]),
    st.sampled_from([3136, 50_000, 12_845_056]),
    st.sampled_from([(4,), (16,), (36, 256), BUCKETS]),
)
def test_every_image_fits_the_largest_bucket(
    height: int, width: int, low: int, high: int, buckets: tuple[int, ...]
) -> None:
    height, width = min(height, 200 * width), min(width, 200 * height)
    limits = ImageSettings(min(low, high), high, IMAGE.mean, IMAGE.std)
    size = resize_to_bucket(height, width, FULL_VISION, limits, buckets)
    assert size[0] % 28 == size[1] % 28 == 0
    assert min(size) >= 28
    patches = size[0] * size[1] // 14**2
    assert patches <= buckets[-1]
    top = min(high, buckets[-1] * 14**2)
    plain = smart_resize(height, width, 28, min(low, top), top)
    if plain[0] * plain[1] <= buckets[-1] * 14**2:
        assert size == plain  # only what does not fit is treated differently
    else:
        assert size[0] * size[1] > buckets[-1] * 14**2 / 3  # and then it uses its room


def test_the_shape_survives_a_small_bucket() -> None:
    height, width = resize_to_bucket(3000, 4000, FULL_VISION, IMAGE, (256,))
    assert math.isclose(width / height, 4 / 3, rel_tol=0.15)
    assert resize_to_bucket(20_000, 100, FULL_VISION, IMAGE, (16,)) == (112, 28)
