"""Plots of what each megabyte and each token per second costs; matplotlib without windows or state."""

import importlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pocketvl.evaluate.statistics import half_width
from pocketvl.evaluate.sweep.pareto import Interval, separated_front
from pocketvl.evaluate.sweep.results import RecipeResult, SweepResult
from pocketvl.runtime.extras import import_failure

# Okabe and Ito's colours, which colour-blind readers tell apart, darkened where they were faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#008060", "#B0588E", "#7A5C00", "#2B8CBE", "#B37400", "#444444")
_MARKERS = "osD^vPX*"
_GREY = "#8a8f98"
_LOG_FROM = 4  # a horizontal axis that spans more than this factor is logarithmic: small bundles lie close
_WIDTH, _HEIGHT, _DPI = 11.6, 8.4, 130  # inches, inches, pixels per inch


@dataclass(frozen=True)
class Measured:
    """A value and the ends of its error bar."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """sign: 1 where more is better, -1 where less is. `read` gives None for what was not measured."""

    title: str
    label: str
    read: Callable[[RecipeResult], Measured | None]
    sign: int
    log: bool = False


@dataclass(frozen=True)
class Point:
    label: str
    colour: str
    marker: str
    x: Measured
    y: Measured


def _size(recipe: RecipeResult) -> Measured:
    return Measured(recipe.size / 1e6, recipe.size / 1e6, recipe.size / 1e6)


def _speed(recipe: RecipeResult) -> Measured | None:
    if recipe.decode_rate is None or recipe.decode_range is None:
        return None
    return Measured(recipe.decode_rate, *recipe.decode_range)


def _accuracy(recipe: RecipeResult) -> Measured | None:
    """The difference to the reference, whose errors are smaller than those of the two scores."""
    if recipe.is_reference:
        return Measured(0.0, 0.0, 0.0)
    difference = recipe.difference
    if difference is None or math.isinf(half_width(difference)):
        return None
    return _around(100 * difference.mean, 100 * half_width(difference))


def _divergence(recipe: RecipeResult) -> Measured | None:
    """None for the reference as well: its zero has no place on a logarithmic axis."""
    fidelity = recipe.fidelity
    if fidelity is None or fidelity.kl_mean <= 0 or fidelity.kl_mean_error is None:
        return None
    return _around(fidelity.kl_mean, 1.96 * fidelity.kl_mean_error)


def _around(value: float, half: float) -> Measured:
    return Measured(value, value - half, value + half)


COSTS = (
    Axis("size", "bundle, MB", _size, -1),
    Axis("speed", "decode, tokens per second", _speed, 1),
)
GAINS = (
    Axis("Accuracy", "difference to the reference, points", _accuracy, 1),
    Axis("Divergence", "mean KL to the reference, nats per token", _divergence, -1, log=True),
)


def pareto_png(result: SweepResult) -> bytes:
    """Accuracy and divergence, each against size and against decode speed, as one PNG.

    Raises MissingExtraError without matplotlib or adjustText.
    """
    figure = _figure()
    grid = figure.subplots(len(GAINS), len(COSTS))
    labelled = []
    for row, gain in enumerate(GAINS):
        for column, cost in enumerate(COSTS):
            points = _points(result.recipes, cost, gain)
            _plot(grid[row][column], points, cost, gain)
            labelled.append((grid[row][column], points))
    figure.suptitle(
        f"{result.model}, {result.target}: {result.questions} questions, reference {result.reference}\n"
        f"{result.processor}, {result.threads} thread{'s' if result.threads != 1 else ''}, {result.date}",
        fontsize=11,
    )
    figure.draw_without_rendering()  # settles the layout, so that labels find free places in pixels
    for axes, points in labelled:
        _label(axes, points)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        importlib.import_module("adjustText")
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Plots need matplotlib and adjustText", "evaluate") from None
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _points(recipes: Sequence[RecipeResult], cost: Axis, gain: Axis) -> list[Point]:
    """The recipes for which both were measured, each with the same colour in every plot."""
    points = []
    for index, recipe in enumerate(recipes):
        x, y = cost.read(recipe), gain.read(recipe)
        if x is not None and y is not None:
            colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
            points.append(Point(recipe.name, colour, marker, x, y))
    return points


def _plot(axes: Any, points: Sequence[Point], cost: Axis, gain: Axis) -> None:
    axes.set_title(f"{gain.title} against {cost.title}", loc="left", fontsize=11)
    axes.set_xlabel(cost.label)
    axes.set_ylabel(gain.label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.14, y=0.18)
    if not points:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=_GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    if gain.log:
        axes.set_yscale("log")
    if max(p.x.value for p in points) > _LOG_FROM * min(p.x.value for p in points):
        _logarithmic(axes)
    front = [points[index] for index in _front(points, cost, gain)]
    axes.plot([p.x.value for p in front], [p.y.value for p in front], color=_GREY, linewidth=1.2, zorder=1)
    for point in points:
        _draw(axes, point, filled=point in front, log=gain.log)
    if not front:
        axes.set_title("no best one: the error bars overlap", loc="right", fontsize=9, color=_GREY)


def _front(points: Sequence[Point], cost: Axis, gain: Axis) -> tuple[int, ...]:
    return separated_front([(_interval(p.x, -cost.sign), _interval(p.y, gain.sign)) for p in points])


def _interval(value: Measured, sign: int) -> Interval:
    return Interval(value.low, value.high) if sign > 0 else Interval(-value.high, -value.low)


def _logarithmic(axes: Any) -> None:
    """With plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _shown_low(value: Measured, log: bool) -> float:
    """No logarithmic axis has a zero."""
    return max(value.low, 0.1 * value.value) if log else value.low


def _draw(axes: Any, point: Point, *, filled: bool, log: bool) -> None:
    x, y = point.x, point.y
    low = _shown_low(y, log)
    axes.errorbar(
        x.value,
        y.value,
        xerr=[[x.value - x.low], [x.high - x.value]],
        yerr=[[y.value - low], [y.high - y.value]],
        fmt=point.marker,
        color=point.colour,
        markerfacecolor=point.colour if filled else "white",
        markersize=7,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
    )


def _label(axes: Any, points: Sequence[Point]) -> None:
    """Names beside the points, clear of markers, bars and each other, with a line to those that are far."""
    if not points:
        return
    from adjustText import adjust_text
    from matplotlib.patheffects import withStroke

    texts = [
        axes.text(
            p.x.value,
            p.y.value,
            p.label,
            color=p.colour,
            fontsize=9,
            zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
        for p in points
    ]
    taken = [place for p in points for place in _covered(p, axes.get_yscale() == "log")]
    adjust_text(
        texts,
        [x for x, _ in taken],
        [y for _, y in taken],
        target_x=[p.x.value for p in points],
        target_y=[p.y.value for p in points],
        ax=axes,
        expand=(1.2, 1.5),
        max_move=None,
        ensure_inside_axes=True,
        arrowprops={"arrowstyle": "-", "color": _GREY, "lw": 0.6, "shrinkA": 2, "shrinkB": 5},
    )


def _covered(point: Point, log: bool) -> list[tuple[float, float]]:
    """The marker and places along its bars, in data coordinates."""
    x, y = point.x, point.y
    low = _shown_low(y, log)
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    across = [(x.low + step * (x.high - x.low), y.value) for step in steps]
    if log:
        return [(x.value, y.value), *across, *((x.value, low * (y.high / low) ** step) for step in steps)]
    return [(x.value, y.value), *across, *((x.value, low + step * (y.high - low)) for step in steps)]
