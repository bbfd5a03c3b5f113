"""Sizes known before an export starts, and what is refused because of them."""

import re
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pocketvl.export import estimate
from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import Estimate, check_space
from pocketvl.export.executorch.target import EXECUTORCH, bytes_of
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer
from pocketvl.quant.recipe import NAMED_RECIPES, Precision, Recipe, Rule, named_recipe
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import RecipeError, SpaceError
from tests.support.checkpoints import SMALL_GEOMETRY


def estimated(geometry: ModelGeometry, recipe: Recipe) -> Estimate:
    return EXECUTORCH.estimate(resolve(recipe, geometry), ExportSettings())


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("precision", "size"),
    [
        (Precision(32), 64 * 96 * 4),
        (Precision(16), 64 * 96 * 2),
        (Precision(8), 64 * 96 + 64 * 4),
        (Precision(4, 32), 64 * 48 + 64 * 3 * 2),
    ],
)
def test_stored_bytes(precision: Precision, size: int) -> None:
    assert bytes_of(Layer("x", "y", 64, 96, bias=False), precision) == size


def test_smaller_recipes_are_smaller() -> None:
    sizes = [estimated(SMALL_GEOMETRY, named_recipe(name)) for name in NAMED_RECIPES]
    assert [size.disk for size in sizes] == sorted((size.disk for size in sizes), reverse=True)
    assert len({size.disk for size in sizes}) == len(NAMED_RECIPES)
    assert all(size.disk >= sum(size.artifacts.values()) for size in sizes)


@pytest.mark.parametrize(
    ("recipe", "table"),
    [("fp32", 4 * 384 * 96), ("fp16", 2 * 384 * 96), ("int4-small", 384 * 96 + 4 * 384)],
)
def test_an_untied_table_is_counted(recipe: str, table: int) -> None:
    untied = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, tie_word_embeddings=False))
    chosen = named_recipe(recipe)
    difference = estimated(untied, chosen).disk - estimated(SMALL_GEOMETRY, chosen).disk
    assert difference == table


def test_a_recipe_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(RecipeError, match=r"vision_encoder\.patch_embed has 1176 inputs"):
        estimated(SMALL_GEOMETRY, Recipe("all4", "rtn", (Rule("*", Precision(4, 32)),)))
    with pytest.raises(RecipeError, match="no rule for the layer lm_head"):
        estimated(
            SMALL_GEOMETRY,
            Recipe(
                "x", "rtn", (Rule("vision_encoder.*", Precision(8)), Rule("text_decoder.*", Precision(8)))
            ),
        )


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10**12, 0, 10**9)

    monkeypatch.setattr(estimate.shutil, "disk_usage", usage)
    output = tmp_path / "not" / "yet" / "there"
    assert check_space(Estimate({}, disk=10**9, memory=0), output) is None
    with pytest.raises(SpaceError, match=re.escape("about 2.5 GB") + ".*" + re.escape("1.0 GB free")):
        check_space(Estimate({}, disk=25 * 10**8, memory=0), output)
    assert set(asked) == {tmp_path}


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(total=8 * 10**9, available=3 * 10**9)
    )
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(total=10**9))
    assert check_space(Estimate({}, 0, 3 * 10**9), tmp_path) is None
    warning = check_space(Estimate({}, 0, 4 * 10**9), tmp_path)
    assert warning is not None
    assert "4.0 GB" in warning
    assert "3.0 GB are free" in warning
    assert check_space(Estimate({}, 0, 9 * 10**9), tmp_path) is not None
    with pytest.raises(SpaceError, match=re.escape("9.1 GB of memory, but this machine has 8.0 GB")):
        check_space(Estimate({}, 0, 91 * 10**8), tmp_path)
