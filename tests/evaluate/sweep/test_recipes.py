"""How the command line names recipes."""

from pathlib import Path

import pytest

from pocketvl.evaluate.sweep.recipes import read_recipes
from pocketvl.runtime.errors import RecipeError, UsageError

MINE = 'name = "{name}"\nmethod = "rtn"\n[[rule]]\nlayers = "*"\nbits = {bits}\n'


def test_the_reference_comes_first_and_nothing_twice() -> None:
    names = [recipe.name for recipe in read_recipes(["int4", "fp32", "int4", "int8"], "fp32")]
    assert names == ["fp32", "int4", "int8"]


def test_another_method_makes_another_recipe(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE.format(name="mine", bits=8))
    recipes = read_recipes([f"{mine}", f"{mine}:rtn", f"{mine}:hqq", "int8:hqq"], "fp32:rtn")
    assert [(recipe.name, recipe.method) for recipe in recipes] == [
        ("fp32", "rtn"),
        ("mine", "rtn"),
        ("mine-hqq", "hqq"),
        ("int8-hqq", "hqq"),
    ]


def test_one_name_for_two_recipes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(MINE.format(name="int4", bits=8))
    with pytest.raises(UsageError, match="'int4' but differ"):
        read_recipes(["int4", str(tmp_path / "a.toml")], "fp32")


def test_an_unknown_recipe() -> None:
    with pytest.raises(RecipeError, match="int3"):
        read_recipes(["int3"], "fp32")
