"""report.html: the whole sweep as one file that needs no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.bit_map import Cell, Grid
from pocketvl.evaluate.sweep.pareto import pareto_front
from pocketvl.evaluate.sweep.results import Difference, RecipeResult, SweepResult, TaskScore
from pocketvl.evaluate.sweep.thumbnails import data_url, thumbnail

_TEMPLATE = "report.html.jinja"
_EXPECTED, _REFERENCE, _ANSWER = "#1a9850", "#2b6cb0", "#d6266a"  # colours of boxes in pictures
_NOTHING = "–"


@dataclass(frozen=True)
class Column:
    title: str
    hint: str  # shown on hovering: what the number is


COLUMNS = (
    Column("recipe", "● : no other recipe is both smaller and more accurate"),
    Column("method", "how the integers were chosen"),
    Column("MB", "all files of the bundle, 10^6 bytes"),
    Column("bits / weight", "weights and scales as stored, over the number of weights"),
    Column("accuracy, %", "mean over tasks, ± standard error"),
    Column("difference", "to the reference on the same questions, percentage points ± standard error"),
    Column("no worse, %", "questions scored at least as high as the reference's answer"),
    Column("KL mean", "KL(reference || recipe) of the next token, nats × 1000, ± standard error"),
    Column("KL 99 %", "99th percentile over tokens, nats × 1000"),
    Column("top-1, %", "tokens with the same likeliest continuation"),
    Column("vision PSNR", "image embeddings against the reference's, dB"),
    Column("decode tok/s", "median, measured alone on the machine"),
)


def page_html(result: SweepResult, plot: bytes) -> str:
    """The page; `plot` is a PNG. Answers and names are escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"cell_text": _cell_text, "cell_class": _cell_class}
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8"))
    optimal = _optimal(result.recipes)
    return template.render(
        result=result,
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
    """Names of those that no other beats in both size and accuracy."""
    scored = [(recipe.name, recipe.size, recipe.mean.mean) for recipe in recipes if recipe.mean is not None]
    front = pareto_front([(size, mean) for _, size, mean in scored])
    return {scored[index][0] for index in front}


def _row(recipe: RecipeResult, optimal: bool) -> dict[str, Any]:
    cells = [
        recipe.method,
        f"{recipe.size / 1e6:,.1f}",
        f"{recipe.bits_per_weight:.2f}",
        _percent(recipe.mean),
        _signed(recipe.difference),
        _number(recipe.no_worse, 100, 1),
        *_fidelity(recipe.fidelity),
        _number(recipe.decode_rate, 1, 0 if recipe.decode_rate and recipe.decode_rate >= 100 else 1),
    ]
    return {"name": recipe.name, "optimal": optimal, "reference": recipe.is_reference, "cells": cells}


def _fidelity(fidelity: Fidelity | None) -> list[str]:
    if fidelity is None:
        return [_NOTHING] * 4
    return [
        _with_error(fidelity.kl_mean, fidelity.kl_mean_error, 1000),
        _number(fidelity.kl_p99, 1000, 1),
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
        "pictures": [thumbnail(image, boxes) for image in difference.images],
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


def _number(value: float | None, scale: float, digits: int) -> str:
    """With a true minus sign, and none before a zero."""
    if value is None:
        return _NOTHING
    rounded = round(scale * value, digits) + 0.0
    return f"{rounded:,.{digits}f}".replace("-", "\u2212")
