"""Which packets of a video give which frames, so that only groups of pictures with wanted frames are decoded.

A group begins with a key frame and is decoded without those before it; but frames that are shown before their
group's key frame ("open" groups) need the group before, too.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = TypeVar("Frame")


class Packets:
    """What is known of a video's packets, added in decoding order; ten bytes each."""

    def __init__(self) -> None:
        self.pts = array("q")
        self.key = bytearray()
        self.hidden = bytearray()
        self.counted = False  # not all of them say when they are shown

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, pts: int | None, is_key: bool, is_hidden: bool) -> None:
        """pts: when its frame is shown, in units of the stream. is_hidden: never."""
        self.counted = self.counted or pts is None
        self.pts.append(pts or 0)
        self.key.append(is_key)
        self.hidden.append(is_hidden)


@dataclass(frozen=True)
class FrameIndex:
    """pts and group: int64 of each packet in decoding order; group -1 comes before the first key frame.

    shown: packets in the order in which their frames are shown. counted: the packets have no times, and a
    frame is told by counting what is decoded; pts means nothing then.
    """

    pts: NDArray[np.int64]
    group: NDArray[np.int64]
    shown: NDArray[np.int64]
    counted: bool

    def places(self, frames: Sequence[int]) -> list[int]:
        """What tells the decoded frame: its pts, or its number."""
        return list(frames) if self.counted else self.pts[self.shown[list(frames)]].tolist()

    def groups_for(self, frames: Sequence[int]) -> set[int]:
        """Groups to decode."""
        if self.counted:
            return set(range(int(self.group.max()) + 1))
        first = {int(g): int(i) for g, i in zip(*np.unique(self.group, return_index=True), strict=True)}
        needed = set()
        for packet in self.shown[list(frames)]:
            group = int(self.group[packet])
            needed |= {group, group - 1} if self.pts[packet] < self.pts[first[group]] else {group}
        return needed


def index_of(packets: Packets) -> FrameIndex:
    """Where none is a key frame the first is taken for one."""
    pts = np.array(packets.pts, np.int64)
    key = np.array(packets.key, np.bool_)
    hidden = np.array(packets.hidden, np.bool_)
    if not key.any():
        key[:1] = True
    group = np.cumsum(key) - 1
    hidden |= group < 0
    if packets.counted:
        return FrameIndex(pts, group, np.flatnonzero(~hidden), counted=True)
    if len(packets):
        hidden |= pts < pts[np.argmax(key)]  # needs what came before the file's beginning
    there = np.flatnonzero(~hidden)
    _, first = np.unique(pts[there], return_index=True)  # sorts, too
    return FrameIndex(pts, group, there[first], counted=False)


def matched(
    frames: Iterable[tuple[int | None, Frame]], wanted: Sequence[int], away: int
) -> Iterator[tuple[Frame, bool] | None]:
    """For each of the ascending places `wanted` the frame there, and True; of `frames` no more are read than
    needed.

    Where there is none, the next one, or at the end the last, and False; None if that is more than `away`
    away.
    """
    given, last = 0, None
    for place, frame in frames:
        if place is None:
            continue
        last = place, frame
        while given < len(wanted) and wanted[given] <= place:
            yield (frame, wanted[given] == place) if place - wanted[given] <= away else None
            given += 1
        if given == len(wanted):
            return
    for place in wanted[given:]:
        yield (last[1], False) if last is not None and place - last[0] <= away else None
