"""Budgets are kept, and what is chosen is the best there is."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.quant import allocate
from pocketvl.quant.allocate import Allocation, Option, least_damage, least_size
from pocketvl.quant.recipe import Bits
from pocketvl.runtime.errors import RecipeError

OPTIONS = st.builds(Option, st.just(Bits(8)), st.integers(0, 60), st.integers(0, 1000).map(float))
LAYERS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=5).map(
    lambda layers: {f"layer {index}": options for index, options in enumerate(layers)}
)


def every(layers: dict[str, list[Option]]) -> list[Allocation]:
    return [
        Allocation(dict(zip(layers, chosen, strict=True))) for chosen in itertools.product(*layers.values())
    ]


@given(LAYERS, st.integers(0, 300))
def test_no_choice_within_the_budget_does_less_damage(layers: dict[str, list[Option]], budget: int) -> None:
    allowed = [choice for choice in every(layers) if choice.size <= budget]
    if not allowed:
        smallest = min(choice.size for choice in every(layers))
        with pytest.raises(RecipeError, match=f"takes {smallest};"):
            least_damage(layers, budget)
        return
    found = least_damage(layers, budget)
    assert found in allowed
    assert found.damage == min(choice.damage for choice in allowed)


@given(LAYERS, st.integers(0, 3000))
def test_no_choice_within_the_damage_is_smaller(layers: dict[str, list[Option]], damage: int) -> None:
    allowed = [choice for choice in every(layers) if choice.damage <= damage]
    if not allowed:
        with pytest.raises(RecipeError, match=r"No recipe stays at or below"):
            least_size(layers, damage)
        return
    found = least_size(layers, damage)
    assert found.damage <= damage
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
            found = least_damage(layers, budget)
            assert found.size <= budget
            assert found.damage <= min(choice.damage for choice in allowed)
        damage = choices[0].damage
        wanted = min(choice.size for choice in choices if choice.damage <= damage)
        assert least_size(layers, damage).damage <= damage
        assert least_size(layers, damage).size <= wanted + unit * len(layers)


def test_equal_damage_takes_the_smaller_option() -> None:
    options = [Option(Bits(8), 20, 1.0), Option(Bits(4, 32), 10, 1.0)]
    assert least_damage({"x": options}, 100).chosen == {"x": options[1]}


@pytest.mark.parametrize(("size", "damage"), [(-1, 0.0), (1, -1.0), (1, math.nan), (1, math.inf)])
def test_impossible_options_are_refused(size: int, damage: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Option(Bits(8), size, damage)
