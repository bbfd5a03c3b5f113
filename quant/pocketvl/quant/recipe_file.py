"""Recipes as TOML files, to be read, edited and exported again.

name = "mine"
method = "gptq"          # rtn, hqq or gptq
rotation = true          # of the decoder's hidden states; false where it is left out

[calibration]            # gptq only; every key may be left out
data = "my-images"       # without it, models other than `tiny` are rounded
samples = 128

[[rule]]                 # first match wins
layers = "text_decoder.*"
bits = 4
group_size = 32          # or [128, 64]: the first that divides a layer's inputs
"""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

from pocketvl.quant.recipe import (
    BEST_METHODS,
    METHODS,
    NAMED_RECIPES,
    Calibration,
    Precision,
    Recipe,
    Rule,
    named_recipe,
)
from pocketvl.runtime.errors import RecipeError
from pocketvl.runtime.files import read_text

SUFFIX = ".toml"


def load_recipe(spec: str, method: str | None = None) -> Recipe:
    """A named recipe with its best method, the same with another ("int4-rtn"), or a file's.

    `method` replaces the recipe's own. Raises RecipeError.
    """
    if spec in NAMED_RECIPES and method is not None:
        return named_recipe(spec, method)
    recipe = _read(Path(spec).expanduser()) if spec.endswith(SUFFIX) else _named(spec)
    return recipe if method is None else dataclasses.replace(recipe, method=method)


def _named(spec: str) -> Recipe:
    if spec in NAMED_RECIPES:
        return named_recipe(spec, BEST_METHODS[spec])
    name, _, method = spec.rpartition("-")
    if name in NAMED_RECIPES and method in METHODS:
        return dataclasses.replace(named_recipe(name, method), name=spec)
    raise RecipeError(
        f"{spec!r} is no recipe; known are {', '.join(NAMED_RECIPES)}, each also with a method behind it as"
        f" in int4-rtn, and files ending in {SUFFIX}."
    )


def recipe_toml(recipe: Recipe) -> str:
    """The text of a file that load_recipe reads as this very recipe."""
    lines = [f"name = {_literal(recipe.name)}", f"method = {_literal(recipe.method)}"]
    lines += ["rotation = true"] if recipe.rotation else []
    if recipe.calibrated:
        lines += ["", "[calibration]"]
        settings = dataclasses.asdict(recipe.calibration)
        lines += [f"{key} = {_literal(value)}" for key, value in settings.items() if value is not None]
    for rule in recipe.rules:
        lines += ["", "[[rule]]", f"layers = {_literal(rule.pattern)}", f"bits = {rule.precision.bits}"]
        if rule.precision.group_size is not None:
            lines.append(f"group_size = {_group_sizes(rule)}")
    return "\n".join(lines) + "\n"


def _group_sizes(rule: Rule) -> int | list[int | None] | None:
    first, *others = (precision.group_size for precision in (rule.precision, *rule.otherwise))
    return [first, *others] if others else first


def _literal(value: str | float | bool) -> str:
    """JSON's strings, numbers and booleans are TOML's as well, but for the escape of a delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read(path: Path) -> Recipe:
    try:
        content = tomllib.loads(read_text(path, RecipeError))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from None
    where = str(path)
    _only(content, ("name", "method", "rotation", "calibration", "rule"), where)
    rules = _value(content, "rule", list, where)
    if not rules:
        raise RecipeError(f"{where} has no [[rule]], so no layer has any bits.")
    read = tuple(_rule(rule, f"{where}, rule {index}") for index, rule in enumerate(rules, 1))
    _refuse_unreachable(read, where)
    return Recipe(
        name=_value(content, "name", str, where),
        method=_value(content, "method", str, where),
        rules=read,
        rotation=_value(content, "rotation", bool, where) if "rotation" in content else False,
        calibration=_calibration(content.get("calibration", {}), f"{where}, calibration"),
    )


def _rule(content: Any, where: str) -> Rule:
    _only(content, ("layers", "bits", "group_size"), where)
    pattern, bits = _value(content, "layers", str, where), _value(content, "bits", int, where)
    sizes = _group_sizes_of(content, where)
    try:
        first, *others = (Precision(bits, size) for size in sizes)
        return Rule(pattern, first, tuple(others))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _refuse_unreachable(rules: tuple[Rule, ...], where: str) -> None:
    """A rule behind one of the same pattern, or behind one for all layers, decides nothing."""
    first: dict[str, int] = {}
    for index, rule in enumerate(rules, 1):
        earlier = first.get(rule.pattern, first.get("*"))
        if earlier is not None:
            raise RecipeError(
                f"{where}, rule {index}: {rule.pattern!r} is never reached, as rule {earlier},"
                f" {rules[earlier - 1].pattern!r}, comes first; remove one of them or change their order."
            )
        first[rule.pattern] = index


def _group_sizes_of(content: dict[str, Any], where: str) -> list[int | None]:
    """One or none, or a list of some."""
    sizes = content.get("group_size")
    if sizes is None or type(sizes) is int:
        return [sizes]
    if type(sizes) is not list or not sizes or any(type(size) is not int for size in sizes):
        raise RecipeError(f"{where}: 'group_size' must be int or a list of some, not {sizes!r}.")
    return sizes


def _calibration(content: Any, where: str) -> Calibration:
    fields = {f.name: str if f.default is None else type(f.default) for f in dataclasses.fields(Calibration)}
    _only(content, tuple(fields), where)
    values = {key: _value(content, key, fields[key], where) for key in content}
    try:
        return Calibration(**values)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _only(content: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(content, dict):
        raise RecipeError(f"{where} must be a table.")
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise RecipeError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(known)}.")


def _value(content: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in content:
        raise RecipeError(f"{where} lacks the key {key!r}.")
    value = content[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise RecipeError(f"{where}: {key!r} must be {kind.__name__}, not {value!r}.")
    return value
