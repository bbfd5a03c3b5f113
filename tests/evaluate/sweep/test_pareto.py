"""The front against its definition."""

from hypothesis import given
from hypothesis import strategies as st

from pocketvl.evaluate.sweep.pareto import pareto_front

# Few distinct values, so that ties are common.
points = st.lists(st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float)), max_size=12)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(points)
def test_a_point_is_on_the_front_if_none_beats_it(values: list[tuple[float, float]]) -> None:
    front = pareto_front(values)
    assert set(front) == {
        index for index, point in enumerate(values) if not any(beats(other, point) for other in values)
    }


@given(points)
def test_the_front_rises(values: list[tuple[float, float]]) -> None:
    along = [values[index] for index in pareto_front(values)]
    assert along == sorted(along)
    assert [gain for _, gain in along] == sorted(gain for _, gain in along)
