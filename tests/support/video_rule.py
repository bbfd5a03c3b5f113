"""Which frames of a video are taken: qwen-vl-utils' rule once more, said as plainly as it goes."""

import math
from fractions import Fraction
from typing import Any

Json = dict[str, Any]


def taken(frames: int, rate: float | None, wanted: Json) -> list[int] | None:
    """One rule after the other, in exact arithmetic."""
    first, last = 0, frames - 1
    if rate is None and {"min_frames", "video_start", "video_end"} & wanted.keys():
        return None
    if rate is not None:
        shown = [Fraction(i) / Fraction(str(rate)) for i in range(frames)]
        start = Fraction(str(wanted.get("video_start", 0)))
        end = Fraction(str(wanted.get("video_end", frames)))
        within = [i for i, time in enumerate(shown) if start <= time <= end]
        if not within:
            return None
        first, last = within[0], within[-1]
    there = last - first + 1
    if "nframes" in wanted:
        count = round(wanted["nframes"] / 2) * 2
        if not 2 <= count <= there:
            return None
    else:
        most = wanted.get("max_frames", 768) // 2 * 2
        if rate is None:
            if there <= most:
                return [*range(there), *([there - 1] if there % 2 else [])]
            count = most
        else:
            least = (wanted.get("min_frames", 4) + 1) // 2 * 2
            natural = there / Fraction(str(rate)) * Fraction(str(wanted.get("fps", 2)))
            count = math.floor(min(max(natural, least), most, there) / 2) * 2
    if there == 1:
        return [first, first]
    # halves to the even one
    return [first + round(Fraction(k * (there - 1), count - 1)) for k in range(count)]
