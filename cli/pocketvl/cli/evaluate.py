"""`pocketvl evaluate`: right answers to a dataset, and how far from a reference they are."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvl.cli import options
from pocketvl.cli.console import note, out, print_json, progress_bar
from pocketvl.cli.evaluate_tables import fidelity_table, note_images, note_left_out, score_table
from pocketvl.cli.extras import needs_extra


def evaluate(
    bundle: options.BundleArgument,
    data: Annotated[
        list[str],
        typer.Option(help="generated:N, a .tsv, a .jsonl, or a `datasets` folder. More than once if wanted."),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="anls, relaxed, vqa, exact, yesno, choice, ocrbench or iou.  [default: the dataset's]"
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Template with {question} and maybe {choices}.  [default: the metric's]"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Read the first so many rows of each dataset.", min=1)
    ] = None,
    strict: options.Strict = False,
    against: Annotated[
        str | None, typer.Option(help="Compare with this bundle, or model: hub id, folder or `tiny`.")
    ] = None,
    revision: options.AgainstRevision = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the answers.  [default: the bundle's name with -results]"
        ),
    ] = None,
    reference_folder: Annotated[
        Path | None,
        typer.Option(
            "--reference-folder",
            help="Where the reference's outputs are kept; name one folder for several bundles to ask it only"
            " once.  [default: `reference` in the folder for the answers]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where answers of another run are.")
    ] = False,
    max_tokens: options.MaxTokens = 128,
    min_pixels: options.SessionMinPixels = None,
    max_pixels: options.SessionMaxPixels = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Ask every question of a dataset and score the answers; an interrupted run goes on where it was."""
    with needs_extra("all", "evaluate"):
        from pocketvl.evaluate.evaluation import evaluate_bundle
    with progress_bar(f"evaluate {bundle}") as progress:
        result = evaluate_bundle(
            bundle,
            data,
            metric=metric,
            prompt=prompt,
            limit=limit,
            strict=strict,
            against=against,
            revision=revision,
            output=output,
            reference_folder=reference_folder,
            overwrite=overwrite,
            max_tokens=max_tokens,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            threads=threads,
            progress=progress,
            warn=note,
        )
    reports = result.datasets
    for report in reports:
        note_left_out(report.dataset, report.bad_rows, report.scored)
        note_images(report.dataset, report.notes)
    if as_json:
        datasets = [report.to_json() for report in reports]
        print_json({"bundle": str(bundle), "results": str(result.folder), "datasets": datasets})
        return
    for report in reports:
        out.print(score_table(report.dataset, result.recipe, report.tasks))
        if report.fidelity is not None:
            out.print(fidelity_table(report.dataset, result.recipe, str(against), report.fidelity))
    out.print(f"answers: {result.folder}", soft_wrap=True)
