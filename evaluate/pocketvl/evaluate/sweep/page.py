"""report.html: the whole sweep as one file that needs no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.statistics import Estimate, half_width
from pocketvl.evaluate.sweep.bit_map import Cell, Grid
from pocketvl.evaluate.sweep.pareto import Interval, separated_front
from pocketvl.evaluate.sweep.recommendation import recommendation
from pocketvl.evaluate.sweep.results import Difference, RecipeResult, SweepResult, TaskScore
from pocketvl.evaluate.sweep.thumbnails import data_url, thumbnail

_TEMPLATE = "report.html.jinja"
_EXPECTED, _REFERENCE, _ANSWER = "#1a9850", "#2b6cb0", "#d6266a"  # colours of boxes in images
_NOTHING = "–"


@dataclass(frozen=True)
class Column:
    title: str
    hint: str  # shown on hovering: what the number is


COLUMNS = (
    Column("recipe", "● : smaller or more accurate than every other recipe, by more than the errors"),
    Column("method", "how the integers were chosen"),
    Column("MB", "all files of the bundle, 10^6 bytes"),
    Column("bits / weight", "weights and scales as stored, over the number of weights"),
    Column("accuracy, %", "mean over tasks, ± standard error"),
    Column("difference", "to the reference on the same questions, percentage points ± standard error"),
    Column("no worse, %", "questions scored at least as high as the reference's answer"),
    Column("KL mean", "KL(reference || recipe), nats per token, ± standard error"),
    Column("KL 99 %", "99th percentile over tokens, nats"),
    Column("top-1, %", "tokens with the same likeliest continuation"),
    Column("vision PSNR", "image embeddings against the reference's, dB"),
    Column("decode tok/s", "mean of three rounds, each alone on the machine (slowest .. fastest)"),
)


def page_html(result: SweepResult, plot: bytes) -> str:
    """The page; `plot` is a PNG. Answers and names are escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"cell_text": _cell_text, "cell_class": _cell_class}
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8"))
    optimal = _optimal(result.recipes)
    return template.render(
        result=result,
        recommendation=recommendation(result),
        plot=data_url("image/png", plot),
        columns=COLUMNS,
        rows=[_row(recipe, recipe.name in optimal) for recipe in result.recipes],
        tasks=_tasks(result.recipes),
        task_rows=[_task_row(recipe, _tasks(result.recipes)) for recipe in result.recipes],
        grids=_grids,
        cards=_cards,
        colours={"expected": _EXPECTED, "reference": _REFERENCE, "answer": _ANSWER},
    )


def _optimal(recipes: tuple[RecipeResult, ...]) -> set[str]:
    """Names of those on the front of size and of the difference to the reference, beyond the errors."""
    names, points = [], []
    for recipe in recipes:
        difference = recipe.difference
        if recipe.is_reference or difference is not None:
            mean, half = (0.0, 0.0) if difference is None else (difference.mean, half_width(difference))
            names.append(recipe.name)
            points.append((Interval(recipe.size, recipe.size), Interval(mean - half, mean + half)))
    return {names[index] for index in separated_front(points)}


def _row(recipe: RecipeResult, optimal: bool) -> dict[str, Any]:
    cells = [
        recipe.method,
        f"{recipe.size / 1e6:,.1f}",
        f"{recipe.bits_per_weight:.2f}",
        _percent(recipe.mean),
        _signed(recipe.difference),
        _number(recipe.no_worse, 100, 1),
        *_fidelity(recipe.fidelity),
        _rate(recipe),
    ]
    return {"name": recipe.name, "optimal": optimal, "reference": recipe.is_reference, "cells": cells}


def _rate(recipe: RecipeResult) -> str:
    if recipe.decode_rate is None or recipe.decode_range is None:
        return _NOTHING
    digits = 0 if recipe.decode_rate >= 100 else 1
    low, high = (_number(rate, 1, digits) for rate in recipe.decode_range)
    return f"{_number(recipe.decode_rate, 1, digits)} ({low} .. {high})"


def _fidelity(fidelity: Fidelity | None) -> list[str]:
    if fidelity is None:
        return [_NOTHING] * 4
    return [
        _nats(fidelity.kl_mean, fidelity.kl_mean_error),
        _nats(fidelity.kl_p99, None),
        _number(fidelity.top1, 100, 1),
        _number(fidelity.vision_psnr, 1, 1),
    ]


def _tasks(recipes: tuple[RecipeResult, ...]) -> list[str]:
    return list(dict.fromkeys(score.task for recipe in recipes for score in recipe.tasks))


def _task_row(recipe: RecipeResult, tasks: list[str]) -> dict[str, Any]:
    scores = {score.task: score for score in recipe.tasks}
    return {"name": recipe.name, "cells": [_task_cell(scores.get(task)) for task in tasks]}


def _task_cell(score: TaskScore | None) -> dict[str, str]:
    if score is None:
        return {"score": _NOTHING, "difference": "", "trend": "even"}
    difference = "" if score.difference is None else _signed(score.difference)
    return {"score": _percent(score.score), "difference": difference, "trend": _trend(score.difference)}


def _trend(difference: Estimate | None) -> str:
    """Worse or better by more than two standard errors, or neither."""
    if difference is None or difference.error is None or abs(difference.mean) <= 2 * difference.error:
        return "even"
    return "worse" if difference.mean < 0 else "better"


def _grids(recipe: RecipeResult) -> list[tuple[str, Grid]]:
    return [("decoder", recipe.bit_map.text), ("vision", recipe.bit_map.vision)]


def _cell_text(cell: Cell) -> str:
    """4/32: four bits in groups of 32 inputs."""
    if cell.bits >= 16:
        return f"f{cell.bits}"
    return f"{cell.bits}/{cell.group_size}" if cell.group_size is not None else str(cell.bits)


def _cell_class(cell: Cell) -> str:
    """Larger groups in a fainter colour."""
    return "b4 coarse" if cell.group_size is not None and cell.group_size > 32 else f"b{cell.bits}"


def _cards(recipe: RecipeResult) -> list[dict[str, Any]]:
    return [_card(difference) for difference in recipe.differences]


def _card(difference: Difference) -> dict[str, Any]:
    boxes = (
        (difference.expected, _EXPECTED),
        (difference.reference, _REFERENCE),
        (difference.answer, _ANSWER),
    )
    return {
        "difference": difference,
        "images": [thumbnail(image, boxes) for image in difference.images],
        "lost": difference.score < difference.reference_score,
        "won": difference.score > difference.reference_score,
    }


def _percent(value: Estimate | None) -> str:
    return _NOTHING if value is None else _with_error(value.mean, value.error, 100)


def _signed(value: Estimate | None) -> str:
    """In percentage points."""
    if value is None:
        return _NOTHING
    text = _with_error(value.mean, value.error, 100)
    return text if text.startswith(("\u2212", "0.0")) else f"+{text}"


def _with_error(value: float, error: float | None, scale: float) -> str:
    text = _number(value, scale, 1)
    return text if error is None else f"{text} ± {scale * error:.1f}"


def _nats(value: float, error: float | None) -> str:
    """Three digits that count, for KL spans many powers of ten."""
    return f"{value:.3g}" if error is None else f"{value:.3g} ± {error:.2g}"


def _number(value: float | None, scale: float, digits: int) -> str:
    """With a true minus sign, and none before a zero."""
    if value is None:
        return _NOTHING
    rounded = round(scale * value, digits) + 0.0
    return f"{rounded:,.{digits}f}".replace("-", "\u2212")
