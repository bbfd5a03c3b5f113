"""report.html, results.csv and pareto.png."""

from pathlib import Path

from pocketvl.evaluate.sweep.csv_table import csv_text
from pocketvl.evaluate.sweep.page import page_html
from pocketvl.evaluate.sweep.plots import pareto_png
from pocketvl.evaluate.sweep.results import SweepResult
from pocketvl.evaluate.sweep.store import write_atomically

PAGE, TABLE, PLOT = "report.html", "results.csv", "pareto.png"


def write_report(result: SweepResult, folder: Path) -> None:
    """Each file whole or not at all. Raises MissingExtraError, PocketVLError."""
    plot = pareto_png(result)
    write_atomically(folder / PLOT, plot)
    write_atomically(folder / TABLE, csv_text(result).encode())
    write_atomically(folder / PAGE, page_html(result, plot).encode())
