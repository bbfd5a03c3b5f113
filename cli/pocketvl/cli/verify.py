"""`pocketvl verify`: parity with the checkpoint, as a table and an exit status."""

import dataclasses
from typing import Annotated, Any

import typer
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import error, out, print_json, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.export.progress import parts
from pocketvl.runtime.errors import PocketVLError

_CHECKING = 15  # the checks take as long as so many examples of each task


def verify(
    bundle: options.BundleArgument,
    against: Annotated[str, typer.Option(help="The checkpoint: hub id, local folder, or `tiny`.")],
    max_tokens: Annotated[int, typer.Option(help="Greedy tokens to compare in each answer.", min=1)] = 64,
    examples: Annotated[
        int | None,
        typer.Option(help="Held-out examples a task to score.  [default: 20 for tiny, else 0]", min=0),
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the result into the bundle's README.md.")
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Compare components and whole answers with the fp32 checkpoint; status 1 if a limit is missed."""
    with needs_extra("evaluate", "verify"):
        from pocketvl.evaluate.parity_table import parity_table
        from pocketvl.evaluate.reference import Reference
        from pocketvl.evaluate.verify import accuracy
        from pocketvl.evaluate.verify import verify as run
        from pocketvl.export.checkpoint import open_checkpoint
        from pocketvl.export.model_card import check_card, update_parity
    from pocketvl.runtime.bundle import open_bundle
    from pocketvl.runtime.engines import open_engine

    opened = open_bundle(bundle, verify="always")
    if update_card:
        check_card(bundle)
    checkpoint = open_checkpoint(against)
    if checkpoint.geometry != opened.manifest.geometry:
        raise PocketVLError(f"{bundle} was not exported from {against}: their geometries differ.")
    engine = open_engine(opened, threads)
    wanted = (20 if against == "tiny" else 0) if examples is None else examples
    with progress_bar(f"verify {bundle}") as progress:
        progress("loading the reference", 0.0)
        vision, image = opened.manifest.geometry.vision, opened.manifest.image
        largest = opened.manifest.buckets[-1] * vision.patch_size**2
        max_pixels = min(image.max_pixels, largest)
        reference = Reference(checkpoint.folder, min(image.min_pixels, max_pixels), max_pixels)
        comparing, scoring = parts(progress, (_CHECKING, wanted))
        checks = list(run(opened, engine, reference, max_tokens=max_tokens, progress=comparing))
        scores = (
            list(accuracy(opened, engine, reference, examples=wanted, progress=scoring)) if wanted else []
        )
    failed = [check for check in checks if not check.passed]
    if update_card:
        update_parity(bundle, parity_table(checks, scores, checkpoint.name))
    if as_json:
        print_json(
            {
                "passed": not failed,
                "checks": [{**dataclasses.asdict(check), "passed": check.passed} for check in checks],
                "accuracy": [dataclasses.asdict(task) for task in scores],
            }
        )
    else:
        _print_checks(checks, opened.manifest.recipe)
        if scores:
            _print_scores(scores, opened.manifest.recipe)
    if failed:
        error(f"{len(failed)} of {len(checks)} checks failed: {'; '.join(map(_missed, failed))}.")
        raise typer.Exit(1)
    if not as_json:
        limited = sum(check.limit is not None for check in checks)
        out.print(f"[green]passed:[/] all {limited} limits kept")


def _missed(check: Any) -> str:
    """Which limit, and by how much."""
    bound = "at least" if check.at_least else "at most"
    return (
        f"{check.component}, {check.sample}: {check.metric} is {check.value:.3g} and should be {bound}"
        f" {check.limit:g}"
    )


def _print_checks(checks: list, recipe: str) -> None:  # type: ignore[type-arg]
    table = Table("component", "sample", "metric", "value", "limit", "", title=f"{recipe} against fp32")
    for column in (table.columns[3], table.columns[4]):
        column.justify = "right"
    for check in checks:
        sign = ">=" if check.at_least else "<="
        limit = "" if check.limit is None else f"{sign} {check.limit:g}"
        mark = "" if check.limit is None else "[green]ok[/]" if check.passed else "[red]FAILED[/]"
        table.add_row(check.component, check.sample, check.metric, f"{check.value:.3g}", limit, mark)
    out.print(table)


def _print_scores(scores: list, recipe: str) -> None:  # type: ignore[type-arg]
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
