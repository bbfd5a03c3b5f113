"""The tables of `pocketvl evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pocketvl.cli.console import note

if TYPE_CHECKING:
    from pocketvl.evaluate.data import BadRow
    from pocketvl.evaluate.fidelity import Fidelity
    from pocketvl.evaluate.statistics import Estimate
    from pocketvl.evaluate.summary import TaskSummary

_MOST_ROWS = 10  # that are named one by one


def score_table(dataset: str, recipe: str, tasks: Sequence[TaskSummary]) -> Table:
    """Mean and standard error of each task, in percent; with a reference also what changed."""
    compared = any(task.comparison for task in tasks)
    errors = any(task.errors for task in tasks)
    unparsed = any(task.unparsed for task in tasks)
    more = ["reference", "difference", "no worse"] * compared
    more += ["not asked"] * errors + ["unparsed"] * unparsed
    table = Table("task", "metric", "n", recipe, *more, title=f"{escape(dataset)}: score ± standard error")
    for column in table.columns[2:]:
        column.justify = "right"
    for task in tasks:
        cells = [escape(task.task), task.metric, str(task.score.count), _percent(task.score)]
        if task.comparison is not None:
            cells += [
                _percent(task.comparison.reference),
                _percent(task.comparison.difference, sign="+"),
                f"{task.comparison.no_worse:.1%}",
            ]
        cells += [str(task.errors)] * errors + [str(task.unparsed)] * unparsed
        table.add_row(*cells)
    if errors or unparsed:
        table.caption = "Not asked and unparsed ones score 0."
    return table


def note_images(dataset: str, notes: Sequence[str]) -> None:
    """Say on stderr which images were not read by the letter."""
    if not notes:
        return
    note(f"{dataset}: {len(notes)} images were not read by the letter:")
    _note_first(notes)


def note_left_out(dataset: str, rows: Sequence[BadRow], scored: int) -> None:
    """Say on stderr which rows no score counts, and why."""
    if not rows:
        return
    note(f"{dataset}: {len(rows)} of {len(rows) + scored} rows left out; the scores are over {scored}.")
    _note_first([row.reason for row in rows])


def _note_first(sentences: Sequence[str]) -> None:
    for sentence in sentences[:_MOST_ROWS]:
        note(f"  {sentence}")
    if len(sentences) > _MOST_ROWS:
        note(f"  and {len(sentences) - _MOST_ROWS} more.")


def fidelity_table(dataset: str, recipe: str, reference: str, fidelity: Fidelity) -> Table:
    """Along the reference's own answers: how far the distributions are apart."""
    title = f"{escape(dataset)}: {recipe} along the answers of {escape(reference)}"
    table = Table("", "", title=title, show_header=False)
    table.columns[1].justify = "right"
    error = "" if fidelity.kl_mean_error is None else f" ± {fidelity.kl_mean_error:.2g}"
    table.add_row("questions / tokens", f"{fidelity.questions} / {fidelity.tokens}")
    if fidelity.left_out:
        table.add_row("questions left out: one of the two could not be asked", str(fidelity.left_out))
    table.add_row("KL divergence, mean, nats per token", f"{fidelity.kl_mean:.3g}{error}")
    spread = (fidelity.kl_median, fidelity.kl_p99, fidelity.kl_max)
    table.add_row("KL, median / 99 % / max, nats per token", " / ".join(f"{value:.3g}" for value in spread))
    table.add_row("same likeliest token", f"{fidelity.top1:.1%}")
    table.add_row("perplexity, times the reference's", f"{fidelity.perplexity_ratio:.4f}")
    if fidelity.vision_psnr is not None:
        table.add_row("image embeddings, PSNR", f"{fidelity.vision_psnr:.1f} dB")
    return table


def _percent(value: Estimate, sign: str = "") -> str:
    error = "" if value.error is None else f" ± {value.error * 100:.1f}"
    return f"{value.mean * 100:{sign}.1f}{error}"
