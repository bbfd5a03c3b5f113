"""Shares of time: parts that add up, steps by weight, and an estimate that holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.export.progress import Advance, Steps, abreast, part, parts, silent, time_left

Reports = list[tuple[str, float]]


def recorded() -> tuple[Reports, object]:
    reports: Reports = []
    return reports, lambda step, share: reports.append((step, share))


def test_a_part_takes_its_own_share() -> None:
    reports, progress = recorded()
    part(part(progress, 0.5, 1.0), 0.0, 0.5)("inside", 0.5)
    assert reports == [("inside", 0.625)]
    silent("nothing", 0.5)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=8))
def test_parts_follow_one_another_from_0_to_1(seconds: list[float]) -> None:
    reports, progress = recorded()
    for own in parts(progress, seconds):
        own("begin", 0.0)
        own("end", 1.0)
    shares = [share for _, share in reports]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert shares[1::2][:-1] == shares[2::2]


def test_of_parts_that_run_at_the_same_time_the_slowest_counts() -> None:
    seen: list[tuple[str, float]] = []
    first, second = abreast(lambda step, share: seen.append((step, share)), (1.0, 4.0))
    first("a", 1.0)
    second("b", 0.5)
    second("c", 1.0)
    assert seen == [("a", 0.0), ("b", 0.5), ("c", 1.0)]
    seen.clear()
    first, second = abreast(lambda step, share: seen.append((step, share)), (3.0, 4.0))
    second("a", 0.75)
    first("b", 0.5)
    first("c", 1.0)
    assert seen == [("a", 0.25), ("b", 0.625), ("c", 0.75)]


def test_steps_count_by_their_weights() -> None:
    reports, progress = recorded()
    steps = Steps(progress, "step", {"small": 1, "large": 3})
    for name in ("norm", "small", "large", "again"):
        steps.next(name)
    assert reports == [("step", 0.0), ("step", 0.25), ("step", 1.0), ("step", 1.0)]
    reports.clear()
    Steps(progress, "none", {}).next("norm")
    assert reports == [("none", 1.0)]


def test_time_left_is_unknown_before_a_tenth_is_done() -> None:
    assert time_left(3.0, 0.0, 0.0) is None
    assert time_left(3.0, 2.0, 0.0) is None
    assert time_left(30.0, 30.0, 0.01) is None
    assert time_left(30.0, 30.0, 0.1) == 270.0


@given(st.floats(1, 1e5), st.floats(0.1, 1))
def test_time_left_of_an_even_task_is_right_and_counts_down(total: float, share: float) -> None:
    reported = total * share
    right = total - reported
    assert time_left(reported, reported, share) == pytest.approx(right, abs=1e-6)
    assert time_left(reported + right / 2, reported, share) == pytest.approx(right / 2, abs=1e-6)


def test_a_step_that_takes_long_does_not_look_finished() -> None:
    assert time_left(1000.0, 10.0, 0.5) == 2.5


def test_a_report_that_brings_nothing_forward_leaves_the_time_left_alone() -> None:
    advance = Advance()
    assert advance.left(1.0) is None
    advance.note(10.0, 0.5)
    assert advance.left(12.0) == 8.0
    advance.note(13.0, 0.5)  # of a part that is not the slowest
    assert advance.left(14.0) == 6.0
    advance.note(15.0, 0.75)
    assert advance.left(15.0) == 5.0
