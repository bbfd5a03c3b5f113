"""Plots of what each megabyte and each token a second costs; matplotlib without windows or state."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pocketvl.evaluate.sweep.labels import place_labels
from pocketvl.evaluate.sweep.pareto import pareto_front
from pocketvl.evaluate.sweep.results import RecipeResult, SweepResult
from pocketvl.runtime.extras import import_failure

# Okabe and Ito's colours, which colour-blind readers tell apart, darkened where they were faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#008060", "#B0588E", "#7A5C00", "#2B8CBE", "#B37400", "#444444")
_MARKERS = "osD^vPX*"
_GREY = "#8a8f98"
_LOG_FROM = 4  # a horizontal axis that spans more than this factor is logarithmic: small bundles lie close
_WIDTH, _HEIGHT, _DPI = 11.6, 8.4, 130  # inches, inches, pixels an inch


@dataclass(frozen=True)
class Cost:
    """A horizontal axis. sign: 1 where less is better, -1 where more is."""

    title: str
    label: str
    read: Callable[[RecipeResult], float | None]
    sign: int


@dataclass(frozen=True)
class Gain:
    """A vertical axis. sign: 1 where more is better, -1 where less is."""

    title: str
    label: str
    read: Callable[[RecipeResult], tuple[float, float] | None]  # value and standard error
    sign: int
    log: bool


@dataclass(frozen=True)
class Point:
    label: str
    colour: str
    marker: str
    x: float
    y: float
    error: float


def _accuracy(recipe: RecipeResult) -> tuple[float, float] | None:
    mean = recipe.mean
    return None if mean is None else (100 * mean.mean, 100 * (mean.error or 0.0))


def _divergence(recipe: RecipeResult) -> tuple[float, float] | None:
    """None for the reference as well: its zero has no place on a logarithmic axis."""
    fidelity = recipe.fidelity
    if fidelity is None or fidelity.kl_mean <= 0:
        return None
    return fidelity.kl_mean, fidelity.kl_mean_error or 0.0


COSTS = (
    Cost("size", "bundle, MB", lambda recipe: recipe.size / 1e6, 1),
    Cost("speed", "decode, tokens a second", lambda recipe: recipe.decode_rate, -1),
)
GAINS = (
    Gain("Accuracy", "mean over tasks, %", _accuracy, 1, False),
    Gain("Divergence", "mean KL to the reference, nats", _divergence, -1, True),
)


def pareto_png(result: SweepResult) -> bytes:
    """Accuracy and divergence, each against size and against decode speed, as one PNG.

    Raises MissingExtraError without matplotlib.
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
        f"{result.model}: {result.questions} questions, reference {result.reference}", fontsize=12, x=0.5
    )
    figure.draw_without_rendering()  # settles the layout, so that labels find free places in pixels
    for axes, points in labelled:
        place_labels(axes, [(p.label, p.colour, p.x, p.y, *_ends(p)) for p in points])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Plots need matplotlib", "evaluate") from None
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _points(recipes: Sequence[RecipeResult], cost: Cost, gain: Gain) -> list[Point]:
    """The recipes for which both were measured, each with the same colour in every plot."""
    points = []
    for index, recipe in enumerate(recipes):
        x, y = cost.read(recipe), gain.read(recipe)
        if x is not None and y is not None:
            colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
            points.append(Point(recipe.name, colour, marker, x, *y))
    return points


def _plot(axes: Any, points: Sequence[Point], cost: Cost, gain: Gain) -> None:
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
    if max(p.x for p in points) > _LOG_FROM * min(p.x for p in points):
        _logarithmic(axes)
    front = [points[index] for index in pareto_front([(cost.sign * p.x, gain.sign * p.y) for p in points])]
    axes.plot([p.x for p in front], [p.y for p in front], color=_GREY, linewidth=1.2, zorder=1)
    for point in points:
        _draw(axes, point, filled=point in front)


def _logarithmic(axes: Any) -> None:
    """With plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _ends(point: Point) -> tuple[float, float]:
    """Of the bar: one standard error, but never down to zero, which no logarithmic axis has."""
    return max(point.y - point.error, 0.1 * point.y), point.y + point.error


def _draw(axes: Any, point: Point, *, filled: bool) -> None:
    low, high = _ends(point)
    axes.errorbar(
        point.x,
        point.y,
        yerr=[[point.y - low], [high - point.y]],
        fmt=point.marker,
        color=point.colour,
        markerfacecolor=point.colour if filled else "white",
        markersize=7,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
    )
