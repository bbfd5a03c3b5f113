"""The recipes of a sweep, as its command line names them."""

from collections.abc import Sequence
from dataclasses import replace

from pocketvl.quant.recipe import METHODS, Recipe
from pocketvl.quant.recipe_file import load_recipe
from pocketvl.runtime.errors import UsageError


def read_recipes(specs: Sequence[str], reference: str) -> tuple[Recipe, ...]:
    """The reference first, then the others in their order: a name or a .toml file, with :METHOD behind it
    for another method than its own, as in int4:gptq.

    A recipe named twice is taken once. Raises RecipeError; UsageError if two differ but have one name.
    """
    recipes: dict[str, Recipe] = {}
    for spec in (reference, *specs):
        recipe = _read(spec)
        known = recipes.setdefault(recipe.name, recipe)
        if known.fingerprint() != recipe.fingerprint():
            raise UsageError(
                f"Two recipes are named {recipe.name!r} but differ; change the name in one of their files."
            )
    return tuple(recipes.values())


def _read(spec: str) -> Recipe:
    """A method of the caller's choice becomes part of the name."""
    name, colon, method = spec.rpartition(":")
    if not colon or method not in METHODS:
        return load_recipe(spec)
    own = load_recipe(name)
    if own.method == method:
        return own
    return replace(load_recipe(name, method), name=f"{own.name}-{method}")
