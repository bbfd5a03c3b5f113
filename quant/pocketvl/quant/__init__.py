"""How weights become 4 or 8 bits, and which bits go where.

    recipe = load_recipe("int4")  # or a .toml file
    print(recipe.precision("lm_head", in_features=1536))

Names are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvl.quant.recipe import NAMED_RECIPES, Calibration, Precision, Recipe, Rule, named_recipe
    from pocketvl.quant.recipe_file import load_recipe, recipe_toml

__all__ = [
    "NAMED_RECIPES",
    "Calibration",
    "Precision",
    "Recipe",
    "Rule",
    "load_recipe",
    "named_recipe",
    "recipe_toml",
]

_MODULES = {
    "NAMED_RECIPES": "recipe",
    "Calibration": "recipe",
    "Precision": "recipe",
    "Recipe": "recipe",
    "Rule": "recipe",
    "load_recipe": "recipe_file",
    "named_recipe": "recipe",
    "recipe_toml": "recipe_file",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
