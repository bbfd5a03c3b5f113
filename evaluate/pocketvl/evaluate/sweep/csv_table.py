"""results.csv: one row per recipe, plain numbers, empty where something was not measured."""

import csv
import io
from typing import Any

from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.results import RecipeResult, SweepResult


def csv_text(result: SweepResult) -> str:
    """Bytes; scores and shares in 0..1; KL in nats per token; PSNR in dB; rates in tokens per second."""
    rows = [_row(recipe) for recipe in result.recipes]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _row(recipe: RecipeResult) -> dict[str, Any]:
    fidelity = recipe.fidelity
    row: dict[str, Any] = {
        "recipe": recipe.name,
        "method": recipe.method,
        "reference": int(recipe.is_reference),
        "bytes": recipe.size,
        "bits_per_weight": round(recipe.bits_per_weight, 4),
        **_estimate("accuracy", recipe.mean),
        **_estimate("difference", recipe.difference),
        "no_worse": recipe.no_worse,
        "kl_mean": fidelity and fidelity.kl_mean,
        "kl_mean_error": fidelity and fidelity.kl_mean_error,
        "kl_p99": fidelity and fidelity.kl_p99,
        "top1": fidelity and fidelity.top1,
        "vision_psnr": fidelity and fidelity.vision_psnr,
        "decode_rate": recipe.decode_rate,
        "decode_rate_low": recipe.decode_range and recipe.decode_range[0],
        "decode_rate_high": recipe.decode_range and recipe.decode_range[1],
    }
    for task in recipe.tasks:
        row[f"{task.task}: questions"] = task.questions
        row |= _estimate(f"{task.task}: accuracy", task.score)
        row |= _estimate(f"{task.task}: difference", task.difference)
    return row


def _estimate(name: str, value: Estimate | None) -> dict[str, float | None]:
    return {
        name: None if value is None else value.mean,
        f"{name}_error": None if value is None else value.error,
    }
