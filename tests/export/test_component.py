"""Settings shrink to the model where they are defaults, and are refused where they were given."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.export.component import (
    DEFAULT_BUCKETS,
    ExportSettings,
    fit_calibration,
    fit_image,
    fit_settings,
)
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.errors import UsageError
from tests.support.checkpoints import SMALL_GEOMETRY

IMAGE = ImageSettings(3136, 12845056, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TOKEN = 28 * 28
LARGE = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, max_position_embeddings=32768))


def test_pixels() -> None:
    vision = SMALL_GEOMETRY.vision
    assert fit_image(IMAGE, vision, None, None) == IMAGE
    changed = fit_image(IMAGE, vision, 1000, 50000)
    assert (changed.min_pixels, changed.max_pixels) == (1000, 50000)
    assert changed.mean == IMAGE.mean
    assert fit_image(IMAGE, vision, None, 20 * 10**6).max_pixels == 20 * 10**6


@pytest.mark.parametrize(
    ("low", "high"), [(None, TOKEN - 1), (None, 3000), (5000, 4000), (0, None), (-1, None)]
)
def test_impossible_pixels(low: int | None, high: int | None) -> None:
    with pytest.raises(UsageError, match="pixels"):
        fit_image(IMAGE, SMALL_GEOMETRY.vision, low, high)


def test_defaults_stay_where_the_model_takes_them() -> None:
    assert fit_settings(ExportSettings(), IMAGE, LARGE) == ExportSettings()


def test_defaults_shrink_to_a_small_model() -> None:
    """1024 positions: the context shrinks, and the largest bucket to what fits beside a question."""
    fitted = fit_settings(ExportSettings(), IMAGE, SMALL_GEOMETRY)
    assert fitted.max_context == 1024
    assert fitted.prefill_chunk == 256
    assert fitted.buckets == (256, 576, 1024, 2304, 4 * 1021)
    tiny = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, max_position_embeddings=128))
    fitted = fit_settings(ExportSettings(), IMAGE, tiny)
    assert (fitted.max_context, fitted.prefill_chunk) == (128, 128)
    assert fitted.buckets == (256, 500)


def test_buckets_end_at_max_pixels() -> None:
    image = replace(IMAGE, max_pixels=200 * TOKEN + 5)
    assert fit_settings(ExportSettings(), image, LARGE).buckets == (256, 576, 800)
    image = replace(IMAGE, max_pixels=144 * TOKEN)
    assert fit_settings(ExportSettings(), image, LARGE).buckets == (256, 576)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ExportSettings(max_context=1025), "--max-context 1025 is more than the model's own context of 1024"),
        (ExportSettings(buckets=(256, 258)), "258 is not a multiple of 4"),
        (ExportSettings(buckets=(256, 4088)), "takes 1022 tokens, which do not fit into a context of 1024"),
        (ExportSettings(max_context=3, prefill_chunk=3), "no room for an image"),
        (ExportSettings(buckets=(4, 8)), "--min-pixels"),
    ],
)
def test_explicit_values_are_refused(settings: ExportSettings, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        fit_settings(settings, IMAGE, SMALL_GEOMETRY)
    assert said in str(caught.value)


def test_explicit_buckets_up_to_the_last_token() -> None:
    settings = ExportSettings(buckets=(256, 4084))
    assert fit_settings(settings, IMAGE, SMALL_GEOMETRY).buckets == (256, 4084)


@given(
    context=st.integers(4, 1024),
    max_tokens=st.integers(1, 3000),
    buckets=st.one_of(
        st.just(DEFAULT_BUCKETS),
        st.sets(st.integers(1, 1100).map(lambda n: 4 * n), min_size=1, max_size=6).map(sorted).map(tuple),
    ),
)  # fmt: skip
def test_whatever_is_accepted_is_sound(context: int, max_tokens: int, buckets: tuple[int, ...]) -> None:
    image = ImageSettings(1, max_tokens * TOKEN, IMAGE.mean, IMAGE.std)
    settings = ExportSettings(buckets, max_context=context, prefill_chunk=min(4, context))
    room = 4 * (context - 3)
    try:
        fitted = fit_settings(settings, image, SMALL_GEOMETRY)
    except UsageError:
        assert buckets != DEFAULT_BUCKETS
        assert buckets[-1] > room
        return
    assert list(fitted.buckets) == sorted(set(fitted.buckets))
    assert all(bucket % 4 == 0 for bucket in fitted.buckets)
    assert fitted.buckets[-1] == min(buckets[-1], 4 * max_tokens, room)
    assert set(fitted.buckets[:-1]) <= set(buckets)


CALIBRATED = named_recipe("int4", "gptq")


def test_without_data_only_the_tiny_model_is_calibrated() -> None:
    fitted, notes = fit_calibration(CALIBRATED, "tiny")
    assert (fitted.method, fitted.calibration.data, notes) == ("gptq", "generated", ())
    fitted, (note,) = fit_calibration(CALIBRATED, "Qwen/Qwen2-VL-2B-Instruct")
    assert (fitted.name, fitted.method, fitted.rules) == ("int4", "rtn", CALIBRATED.rules)
    assert "rounded to nearest" in note
    assert "--calibration" in note
    assert fit_calibration(CALIBRATED, "./tiny")[0].method == "rtn"


@pytest.mark.parametrize("data", ["generated", "my-images"])
def test_data_that_was_named_is_used(data: str) -> None:
    recipe = CALIBRATED.with_calibration(data, None)
    assert fit_calibration(recipe, "some/model") == (recipe, ())


def test_nothing_is_said_of_recipes_that_need_no_data() -> None:
    for recipe in (named_recipe("int4"), named_recipe("fp32", "gptq")):
        assert fit_calibration(recipe, "some/model") == (recipe, ())


def test_a_name_that_promises_calibration_is_not_rounded() -> None:
    with pytest.raises(UsageError, match="'int4-gptq' needs calibration data"):
        fit_calibration(replace(CALIBRATED, name="int4-gptq"), "some/model")
