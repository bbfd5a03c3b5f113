"""Which groups of pictures are decoded, and which decoded frame is taken for which wanted one."""

import pytest

from pocketvl.runtime.media.video.index import FrameIndex, Packets, index_of, matched


def index(*packets: tuple[int | None, str]) -> FrameIndex:
    added = Packets()
    for pts, kind in packets:
        added.add(pts, "K" in kind, "H" in kind)
    return index_of(added)


def test_frames_are_shown_in_the_order_of_their_times() -> None:
    found = index((0, "K"), (3, ""), (1, ""), (2, ""))
    assert found.shown.tolist() == [0, 2, 3, 1]
    assert found.places([1, 3]) == [1, 3]
    assert not found.counted


def test_only_groups_with_wanted_frames_are_decoded() -> None:
    found = index((0, "K"), (1, ""), (2, "K"), (3, ""), (4, "K"), (5, ""))
    assert found.groups_for([0, 5]) == {0, 2}
    assert found.groups_for([3]) == {1}


def test_frames_shown_before_their_key_frame_need_the_group_before() -> None:
    found = index((0, "K"), (1, ""), (4, "K"), (2, ""), (3, ""), (5, ""))
    assert found.groups_for([2]) == {0, 1}
    assert found.groups_for([4]) == {1}


def test_what_cannot_be_decoded_or_is_not_shown_is_no_frame() -> None:
    cut = index((7, ""), (8, ""), (12, "K"), (10, ""), (11, ""), (13, ""))  # begins within an open group
    assert cut.shown.tolist() == [2, 5]
    assert index((0, "KH"), (1, "H"), (2, ""), (2, "")).shown.tolist() == [2]
    assert index((4, ""), (5, "")).shown.tolist() == [0, 1]  # no packet says that it is a key frame
    assert index().shown.tolist() == []


def test_frames_without_times_are_counted() -> None:
    found = index((None, "K"), (None, ""), (None, "K"))
    assert (found.counted, found.places([0, 2]), found.groups_for([2])) == (True, [0, 2], {0, 1})


@pytest.mark.parametrize(
    ("frames", "wanted", "expected"),
    [
        ([0, 10, 20], [0, 20], [(0, True), (20, True)]),
        ([0, 10, 20], [0, 0], [(0, True), (0, True)]),  # a single frame is taken twice
        ([0, 20], [10, 20], [(20, False), (20, True)]),
        ([0, 40], [10, 40], [None, (40, True)]),  # too far
        ([0, 10], [10, 20], [(10, True), (10, False)]),  # the last one stays
        ([0, 10], [10, 50], [(10, True), None]),
        ([], [0], [None]),
        ([None, 0], [0], [(0, True)]),
    ],
)
def test_the_frame_at_a_place_or_the_one_beside_it(
    frames: list[int | None], wanted: list[int], expected: list[tuple[int, bool] | None]
) -> None:
    assert list(matched(((place, place) for place in frames), wanted, 15)) == expected


def test_no_more_is_decoded_than_is_wanted() -> None:
    read: list[int] = []

    def decoded() -> object:
        for place in range(100):
            read.append(place)
            yield place, place

    assert len(list(matched(decoded(), [3, 7], 1))) == 2
    assert read == list(range(8))
