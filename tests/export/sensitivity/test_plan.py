"""Budgets become recipes of exactly the size that an export estimates."""

from dataclasses import replace

import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.export.sensitivity.measure import Sensitivity
from pocketvl.export.sensitivity.plan import MaxKL, SizeBudget, plan_for
from pocketvl.export.sensitivity.probe import layer_choices
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import NAMED_RECIPES, Calibration, Precision, Recipe, Rule, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import RecipeError
from tests.support.checkpoints import SMALL_GEOMETRY

TARGETS = {name: target_for(name) for name in names.TARGETS}
BYTES = [TARGETS[names.EXECUTORCH].bytes_of]
UNTIED = replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, tie_word_embeddings=False))
BASE = Recipe("mine", "gptq", (Rule("*", named_recipe("int8").rules[0].precision),), Calibration(samples=9))


def sensitivity(geometry: ModelGeometry) -> Sensitivity:
    """Later layers hurt more; 8 bits a hundredth."""
    choices = layer_choices(geometry, {})
    kl_cost = {
        layer.name: {
            precision: (1 + place) * (0.01 if precision.bits == 8 else 1.0)
            for precision in choices[layer.name]
        }
        for place, layer in enumerate(linear_layers(geometry))
    }
    return Sensitivity(kl_cost, measured=True)


def size(geometry: ModelGeometry, recipe: Recipe) -> int:
    plan = resolve(recipe, geometry)
    return sum(TARGETS[names.EXECUTORCH].estimate(plan, ExportSettings()).artifacts.values())


@pytest.mark.parametrize("geometry", [SMALL_GEOMETRY, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize(
    "name", [name for name in NAMED_RECIPES if named_recipe(name).rules[0].precision.bits <= 8]
)
def test_a_budget_is_kept_as_exports_count(geometry: ModelGeometry, name: str) -> None:
    budget = size(geometry, named_recipe(name))
    plan = plan_for(geometry, sensitivity(geometry), BASE, SizeBudget(budget, "mine"), BYTES)
    assert plan.size == size(geometry, plan.recipe) <= budget
    assert plan.size > 0.97 * budget
    assert plan.kl == pytest.approx(sum(option.cost for option in plan.chosen.values()))
    assert (plan.recipe.name, plan.recipe.method, plan.recipe.calibration) == (
        "mine",
        "gptq",
        BASE.calibration,
    )
    for layer in linear_layers(geometry):
        assert plan.recipe.precision(layer.name, layer.in_features) == plan.chosen[layer.name].precision


@pytest.mark.parametrize("geometry", [SMALL_GEOMETRY, UNTIED], ids=["tied", "untied"])
def test_a_budget_is_of_the_target(geometry: ModelGeometry) -> None:
    """Scales are float32 for onnxruntime, so a budget buys fewer there; several targets all keep it."""
    budget, known = size(geometry, named_recipe("int4")), sensitivity(geometry)
    counts = {name: target.bytes_of for name, target in TARGETS.items()}
    plans = {
        name: plan_for(geometry, known, BASE, SizeBudget(budget, "mine"), [count])
        for name, count in counts.items()
    }
    every = plan_for(geometry, known, BASE, SizeBudget(budget, "mine"), list(counts.values()))
    head = next(layer for layer in linear_layers(geometry) if layer.name == "lm_head")
    table = 0 if geometry.text.tie_word_embeddings else counts["executorch"](head, Precision(8))
    for name, count in counts.items():
        stored = [
            table + sum(count(layer, plan.chosen[layer.name].precision) for layer in linear_layers(geometry))
            for plan in (plans[name], every)
        ]
        assert stored[0] == plans[name].size
        assert 0.97 * budget < stored[0] <= budget
        assert stored[1] <= budget
    assert plans["onnx"].kl > plans["executorch"].kl


def test_both_goals_meet() -> None:
    """What a budget buys is what that KL costs."""
    known = sensitivity(SMALL_GEOMETRY)
    bought = plan_for(SMALL_GEOMETRY, known, BASE, SizeBudget(350_000, "mine"), BYTES)
    back = plan_for(SMALL_GEOMETRY, known, BASE, MaxKL(bought.kl * (1 + 1e-9), "mine"), BYTES)
    assert back.size <= bought.size
    assert back.kl == pytest.approx(bought.kl)


@pytest.mark.parametrize("geometry", [SMALL_GEOMETRY, UNTIED], ids=["tied", "untied"])
def test_goals_out_of_reach_say_what_is_in_reach(geometry: ModelGeometry) -> None:
    known = sensitivity(geometry)
    with pytest.raises(
        RecipeError, match=r"budget of 0.050 MB is out of reach: .* take (0\.\d+) MB"
    ) as refused:
        plan_for(geometry, known, BASE, SizeBudget(50_000, "mine"), BYTES)
    reachable = int(str(refused.value).partition("(")[2].split()[0])
    assert plan_for(geometry, known, BASE, SizeBudget(reachable, "mine"), BYTES).size == reachable
    with pytest.raises(RecipeError, match="out of reach"):
        plan_for(geometry, known, BASE, SizeBudget(reachable - 1, "mine"), BYTES)
    with pytest.raises(RecipeError, match=r"KL divergence of 0\.5 is out of reach: .* is predicted"):
        plan_for(geometry, known, BASE, MaxKL(0.5, "mine"), BYTES)


@pytest.mark.parametrize("nats", [0.0, -1.0, float("nan"), float("inf")])
def test_goals_that_mean_nothing_are_refused(nats: float) -> None:
    with pytest.raises(RecipeError, match="must be positive"):
        MaxKL(nats, "mine")
    with pytest.raises(RecipeError, match="at least one byte"):
        SizeBudget(0, "mine")
