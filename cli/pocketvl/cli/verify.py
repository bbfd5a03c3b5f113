"""`pocketvl verify`: parity with the checkpoint, as a table and an exit status."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import error, out, print_json, progress_bar
from pocketvl.cli.extras import needs_extra

if TYPE_CHECKING:
    from pocketvl.evaluate.verify import Check, TaskScore


def verify(
    bundle: options.BundleArgument,
    against: Annotated[str, typer.Option(help="The checkpoint: hub id, local folder, or `tiny`.")],
    revision: options.AgainstRevision = None,
    max_tokens: Annotated[int, typer.Option(help="Greedy tokens to compare in each answer.", min=1)] = 64,
    examples: Annotated[
        int | None,
        typer.Option(help="Held-out examples per task to score.  [default: 20 for tiny, else 0]", min=0),
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the result into the bundle's README.md.")
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Compare components and whole answers with the fp32 checkpoint; status 1 if a limit is missed."""
    with needs_extra("evaluate", "verify"):
        from pocketvl.evaluate.verification import verify_bundle
    with progress_bar(f"verify {bundle}") as progress:
        result = verify_bundle(
            bundle,
            against,
            revision=revision,
            max_tokens=max_tokens,
            examples=examples,
            update_card=update_card,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print_json(
            {
                "passed": result.passed,
                "checks": [{**dataclasses.asdict(check), "passed": check.passed} for check in result.checks],
                "accuracy": [dataclasses.asdict(task) for task in result.accuracy],
            }
        )
    else:
        _print_checks(result.checks, result.recipe)
        if result.accuracy:
            _print_scores(result.accuracy, result.recipe)
    if not result.passed:
        missed = "; ".join(map(_missed, result.missed))
        error(f"{len(result.missed)} of {len(result.checks)} checks failed: {missed}.")
        raise typer.Exit(1)
    if not as_json:
        limited = sum(check.limit is not None for check in result.checks)
        out.print(f"[green]passed:[/] all {limited} limits kept")


def _missed(check: "Check") -> str:
    """Which limit, and by how much."""
    bound = "at least" if check.at_least else "at most"
    return (
        f"{check.component}, {check.sample}: {check.metric} is {check.value:.3g} and should be {bound}"
        f" {check.limit:g}"
    )


def _print_checks(checks: "Sequence[Check]", recipe: str) -> None:
    table = Table("component", "sample", "metric", "value", "limit", "", title=f"{recipe} against fp32")
    for column in (table.columns[3], table.columns[4]):
        column.justify = "right"
    for check in checks:
        sign = ">=" if check.at_least else "<="
        limit = "" if check.limit is None else f"{sign} {check.limit:g}"
        mark = "" if check.limit is None else "[green]ok[/]" if check.passed else "[red]FAILED[/]"
        table.add_row(check.component, check.sample, check.metric, f"{check.value:.3g}", limit, mark)
    out.print(table)


def _print_scores(scores: "Sequence[TaskScore]", recipe: str) -> None:
    table = Table(
        "task", "examples", f"{recipe} bundle", "fp32 reference", title="accuracy on held-out images"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for task in scores:
        table.add_row(task.task, str(task.examples), f"{task.bundle:.1%}", f"{task.reference:.1%}")
    count = len(scores)
    mean = [sum(getattr(task, side) for task in scores) / count for side in ("bundle", "reference")]
    table.add_row("mean", str(sum(task.examples for task in scores)), *(f"{value:.1%}" for value in mean))
    out.print(table)
