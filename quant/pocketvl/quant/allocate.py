"""Which bits each layer takes, so that a number of bytes buys the least cost in accuracy.

A multiple-choice knapsack, solved by dynamic programming over sizes (Dudzinski and Walukiewicz, "Exact
methods for the knapsack problem and its generalizations", 1987, section 5). Sizes are counted in the
largest unit that divides all differences, which makes the result exact. Where that would take more than
100,000 steps, the unit is coarser and sizes are rounded up: never over the budget, and as good as the best
choice under a budget that is smaller by one unit a layer (330 layers: a third of a percent of the range).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import RecipeError

_STEPS = 100_000  # entries of the table, at most


@dataclass(frozen=True)
class Option:
    """One way to store a layer. size in bytes; cost adds up over layers and is not negative."""

    precision: Precision
    size: int
    cost: float

    def __post_init__(self) -> None:
        if self.size < 0 or not 0 <= self.cost < math.inf:
            raise ValueError(f"size {self.size} and cost {self.cost} must be finite and not negative")


@dataclass(frozen=True)
class Allocation:
    """One option a layer. size and cost are sums over layers."""

    chosen: dict[str, Option]

    @property
    def size(self) -> int:
        return sum(option.size for option in self.chosen.values())

    @property
    def cost(self) -> float:
        return math.fsum(option.cost for option in self.chosen.values())


def least_cost(layers: Mapping[str, Sequence[Option]], budget: int) -> Allocation:
    """The choice of least cost that takes at most `budget` bytes.

    Raises RecipeError if even the smallest options take more; the sentence says how much.
    """
    table = _Table(layers)
    if budget < table.smallest:
        raise RecipeError(
            f"{budget:,} bytes are too few for the weights: the smallest recipe takes {table.smallest:,};"
            " give a size of at least that."
        )
    return table.choice(min((budget - table.smallest) // table.unit, len(table.cost) - 1))


def least_size(layers: Mapping[str, Sequence[Option]], max_cost: float) -> Allocation:
    """The smallest choice whose cost is at most `max_cost`.

    Raises RecipeError if even the best options do more; the sentence says how much.
    """
    table = _Table(layers)
    enough = np.flatnonzero(table.cost <= max_cost)
    if not len(enough):
        raise RecipeError(
            f"No recipe stays at or below {max_cost:g}: with the most bits everywhere it is"
            f" {table.cost[-1]:.3g}; give a value of at least that."
        )
    return table.choice(int(enough[0]))


class _Table:
    """cost: float64 (steps + 1,), the least for so many units over the smallest size, or fewer."""

    def __init__(self, layers: Mapping[str, Sequence[Option]]) -> None:
        self._layers = {name: _worthwhile(options) for name, options in layers.items()}
        least = [options[0].size for options in self._layers.values()]
        self.smallest = sum(least)
        extra = [
            [o.size - s for o in options] for options, s in zip(self._layers.values(), least, strict=True)
        ]
        most = sum(sizes[-1] for sizes in extra)
        divisor = math.gcd(*(size for sizes in extra for size in sizes)) or 1
        self.unit = max(divisor, math.ceil(most / _STEPS))
        self._steps = [[math.ceil(size / self.unit) for size in sizes] for sizes in extra]
        length = 1 + sum(steps[-1] for steps in self._steps)
        self.cost = np.zeros(length)
        self._chosen = [
            self._add(options, steps)
            for options, steps in zip(self._layers.values(), self._steps, strict=True)
        ]

    def _add(self, options: Sequence[Option], steps: Sequence[int]) -> NDArray[np.uint8]:
        """Take one more layer in; the option that it takes for each number of units."""
        before, length = self.cost, len(self.cost)
        self.cost = before + options[0].cost
        chosen = np.zeros(length, np.uint8)
        for index, (option, step) in enumerate(zip(options[1:], steps[1:], strict=True), 1):
            cost = before[: length - step] + option.cost
            better = cost < self.cost[step:]  # of equals the smaller one stays
            self.cost[step:][better] = cost[better]
            chosen[step:][better] = index
        return chosen

    def choice(self, units: int) -> Allocation:
        """What the table holds for so many units."""
        found = {}
        for name, steps, chosen in reversed(list(zip(self._layers, self._steps, self._chosen, strict=True))):
            index = int(chosen[units])
            found[name] = self._layers[name][index]
            units -= steps[index]
        return Allocation({name: found[name] for name in self._layers})


def _worthwhile(options: Sequence[Option]) -> list[Option]:
    """By size, without those that are larger and no better than another."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda option: (option.size, option.cost)):
        if not kept or option.cost < kept[-1].cost:
            kept.append(option)
    return kept
