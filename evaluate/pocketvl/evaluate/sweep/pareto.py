"""Which points are the best for their cost, as far as their errors let one say so."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Where a measured value lies; low <= high, equal where it is exact."""

    low: float
    high: float


def separated_front(points: Sequence[tuple[Interval, Interval]]) -> tuple[int, ...]:
    """Indices, by rising cost, of the points (cost, gain) that are on the Pareto front beyond their errors.

    Each of them costs less or gains more than any other point, and the intervals do not overlap there. Where
    fewer than two points can be told apart so, there is no front and nothing is returned.
    """
    front = [
        index
        for index, (cost, gain) in enumerate(points)
        if all(
            cost.high < other_cost.low or gain.low > other_gain.high
            for number, (other_cost, other_gain) in enumerate(points)
            if number != index
        )
    ]
    return tuple(sorted(front, key=lambda index: points[index][0].low)) if len(front) > 1 else ()
