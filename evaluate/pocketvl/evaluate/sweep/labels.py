"""Names beside points, each where it covers the least of other names and points."""

from collections.abc import Sequence
from typing import Any

_POINT = 7.0  # pixels around a point that a name should not cover
# Offsets from the point in typographic points, and the alignment of each; the first free one wins.
_PLACES = (
    (8, 6, "left", "bottom"),
    (8, -6, "left", "top"),
    (-8, 6, "right", "bottom"),
    (-8, -6, "right", "top"),
    (0, 14, "center", "bottom"),
    (0, -14, "center", "top"),
    (14, 18, "left", "bottom"),
    (14, -18, "left", "top"),
    (-14, 18, "right", "bottom"),
    (-14, -18, "right", "top"),
)
_Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels


def place_labels(axes: Any, points: Sequence[tuple[str, str, float, float, float, float]]) -> None:
    """Write names into laid-out matplotlib axes: (text, colour, x, y, lower and upper end of its bar)."""
    taken = [_around(axes, x, ys) for _, _, x, *ys in points]
    frame = axes.get_window_extent()
    for text, colour, x, y, _, _ in points:
        best = None
        for place in _PLACES:
            label = _write(axes, text, colour, (x, y), place)
            extent = label.get_window_extent()
            box = (extent.x0, extent.y0, extent.x1, extent.y1)
            covered = sum(_overlap(box, other) for other in taken) + _outside(box, frame)
            if best is None or covered < best[0]:
                best = (covered, place, box)
            label.remove()
        if best is not None:
            _write(axes, text, colour, (x, y), best[1])
            taken.append(best[2])


def _write(
    axes: Any, text: str, colour: str, point: tuple[float, float], place: tuple[int, int, str, str]
) -> Any:
    right, up, horizontal, vertical = place
    return axes.annotate(
        text,
        point,
        xytext=(right, up),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=9,
        color=colour,
    )


def _around(axes: Any, x: float, ys: Sequence[float]) -> _Box:
    """A point with its bar."""
    pixels = [axes.transData.transform((x, y)) for y in ys]
    center, heights = float(pixels[0][0]), [float(pixel[1]) for pixel in pixels]
    return center - _POINT, min(heights) - _POINT, center + _POINT, max(heights) + _POINT


def _overlap(one: _Box, other: _Box) -> float:
    """Shared pixels."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _outside(box: _Box, frame: Any) -> float:
    """Pixels of the box outside the axes."""
    inside = _overlap(box, (frame.x0, frame.y0, frame.x1, frame.y1))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside
