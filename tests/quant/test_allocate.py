"""Budgets are kept, and what is chosen is the best there is."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.quant import allocate
from pocketvl.quant.allocate import Allocation, Option, least_cost, least_size
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import RecipeError

OPTIONS = st.builds(Option, st.just(Precision(8)), st.integers(0, 60), st.integers(0, 1000).map(float))
LAYERS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=5).map(
    lambda layers: {f"layer {index}": options for index, options in enumerate(layers)}
)


def every(layers: dict[str, list[Option]]) -> list[Allocation]:
    return [
        Allocation(dict(zip(layers, chosen, strict=True))) for chosen in itertools.product(*layers.values())
    ]


@given(LAYERS, st.integers(0, 300))
def test_no_choice_within_the_budget_does_less_cost(layers: dict[str, list[Option]], budget: int) -> None:
    allowed = [choice for choice in every(layers) if choice.size <= budget]
    if not allowed:
        smallest = min(choice.size for choice in every(layers))
        with pytest.raises(RecipeError, match=f"takes {smallest};"):
            least_cost(layers, budget)
        return
    found = least_cost(layers, budget)
    assert found in allowed
    assert found.cost == min(choice.cost for choice in allowed)


@given(LAYERS, st.integers(0, 3000))
def test_no_choice_within_the_cost_is_smaller(layers: dict[str, list[Option]], cost: int) -> None:
    allowed = [choice for choice in every(layers) if choice.cost <= cost]
    if not allowed:
        with pytest.raises(RecipeError, match=r"No recipe stays at or below"):
            least_size(layers, cost)
        return
    found = least_size(layers, cost)
    assert found.cost <= cost
    assert found.size == min(choice.size for choice in allowed)


@given(LAYERS, st.integers(0, 300), st.integers(3, 40))
def test_a_coarse_unit_costs_at_most_one_unit_a_layer(
    layers: dict[str, list[Option]], budget: int, steps: int
) -> None:
    """The guarantee for models whose sizes have no large common divisor."""
    choices = every(layers)
    most = sum(max(o.size for o in options) - min(o.size for o in options) for options in layers.values())
    unit = max(1, math.ceil(most / steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocate, "_STEPS", steps)
        allowed = [choice for choice in choices if choice.size <= budget - unit * len(layers)]
        if allowed:
            found = least_cost(layers, budget)
            assert found.size <= budget
            assert found.cost <= min(choice.cost for choice in allowed)
        cost = choices[0].cost
        wanted = min(choice.size for choice in choices if choice.cost <= cost)
        assert least_size(layers, cost).cost <= cost
        assert least_size(layers, cost).size <= wanted + unit * len(layers)


def test_equal_cost_takes_the_smaller_option() -> None:
    options = [Option(Precision(8), 20, 1.0), Option(Precision(4, 32), 10, 1.0)]
    assert least_cost({"x": options}, 100).chosen == {"x": options[1]}


@pytest.mark.parametrize(("size", "cost"), [(-1, 0.0), (1, -1.0), (1, math.nan), (1, math.inf)])
def test_impossible_options_are_refused(size: int, cost: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Option(Precision(8), size, cost)
