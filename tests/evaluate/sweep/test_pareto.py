"""The front beyond errors, against its definition."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.sweep.pareto import Interval, separated_front

# Few distinct values, so that ties and overlaps are common.
intervals = st.tuples(st.integers(0, 6), st.integers(0, 2)).map(lambda v: Interval(v[0], v[0] + v[1]))
exact = st.integers(0, 6).map(lambda value: Interval(value, value))
Points = list[tuple[Interval, Interval]]


@given(st.lists(st.tuples(exact, exact), max_size=10, unique=True))
def test_without_errors_and_ties_it_is_the_pareto_front(values: Points) -> None:
    costs = {cost.low for cost, _ in values}
    gains = {gain.low for _, gain in values}
    if len(costs) == len(gains) == len(values):
        best = {
            index
            for index, (cost, gain) in enumerate(values)
            if not any(c.low < cost.low and g.low > gain.low for c, g in values)
        }
        assert set(separated_front(values)) == (best if len(best) > 1 else set())


@given(st.lists(st.tuples(intervals, intervals), max_size=8))
def test_points_on_the_front_part_from_every_other_on_an_axis(values: Points) -> None:
    front = separated_front(values)
    assert len(front) != 1
    for index in front:
        cost, gain = values[index]
        for number, (other_cost, other_gain) in enumerate(values):
            assert number == index or cost.high < other_cost.low or gain.low > other_gain.high


@given(st.lists(st.tuples(intervals, intervals), max_size=8))
def test_the_front_rises(values: Points) -> None:
    along = [values[index] for index in separated_front(values)]
    for (cost, gain), (next_cost, next_gain) in pairwise(along):
        assert cost.low <= next_cost.low
        assert cost.high < next_cost.low or gain.low > next_gain.high


def test_overlapping_gains_leave_only_the_smallest_and_so_no_front() -> None:
    same = [(Interval(size, size), Interval(0.90 - size / 100, 0.95)) for size in (1, 2, 3)]
    assert separated_front(same) == ()
    better = (Interval(4, 4), Interval(0.96, 0.97))
    assert separated_front([*same, better]) == (0, 3)
