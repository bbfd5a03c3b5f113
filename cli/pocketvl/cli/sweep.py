"""`pocketvl sweep`: many recipes over many questions, as a table, plots and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import error, note, out, progress_bar
from pocketvl.cli.evaluate_tables import note_images, note_left_out
from pocketvl.cli.extras import needs_extra
from pocketvl.cli.options import parse_buckets
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError

if TYPE_CHECKING:
    from pocketvl.evaluate.sweep.results import RecipeResult, SweepResult
    from pocketvl.evaluate.sweep.sweep import StartRunner

_NOTHING = "-"


def sweep(
    model: options.ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the report and everything it is made of.")
    ],
    recipe: Annotated[
        list[str],
        typer.Option(
            help="fp32, fp16, int8, int4, int4-small, int4-fast or a .toml file, maybe with :METHOD behind."
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(help="generated:N, generated/TASK:N, a .tsv or .jsonl file, a `datasets` folder."),
    ],
    revision: options.Revision = None,
    reference: Annotated[str, typer.Option(help="The recipe that others are compared with.")] = "fp32",
    target: Annotated[
        str, typer.Option(help="What all of them are exported for: executorch, coreml or onnx.")
    ] = names.EXECUTORCH,
    limit: Annotated[int | None, typer.Option(help="Rows of each dataset.  [default: all]", min=1)] = None,
    strict: options.Strict = False,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = 32,
    fidelity_questions: Annotated[
        int, typer.Option(help="Questions whose distributions are compared; 0: none.", min=0)
    ] = 48,
    bench: Annotated[bool, typer.Option(help="Measure speed, too, one recipe after the other.")] = True,
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes that work at a time.  [default: one a core, at most 4]", min=1),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on a Ray cluster; `local` starts one here.")
    ] = None,
    buckets: options.Buckets = None,
    max_context: options.MaxContext = 2048,
) -> None:
    """Export recipes, ask them the same questions, and show what each megabyte buys.

    Everything is kept in the output folder: a second call does only what is new, and one that was stopped
    goes on where it was.
    """
    if jobs is not None and ray is not None:
        raise UsageError("--jobs is for this machine and --ray for a cluster; leave one of them out.")
    with needs_extra("all", "sweep"):
        from pocketvl.evaluate.sweep.plan import SweepSettings
        from pocketvl.evaluate.sweep.recipes import read_recipes
        from pocketvl.evaluate.sweep.sweep import run_sweep
        from pocketvl.export.bundle.writer import check_outside_bundles, output_folder
        from pocketvl.export.component import (
            DEFAULT_BUCKETS,
            DEFAULT_PREFILL_CHUNK,
            ExportSettings,
            fit_calibration,
        )
        from pocketvl.export.targets import target_for
    output = output_folder(output)
    check_outside_bundles(output)
    recipes = read_recipes(recipe, reference)
    for sentence in dict.fromkeys(said for one in recipes for said in fit_calibration(one, model)[1]):
        note(sentence)
    settings = SweepSettings(
        model=model,
        target=target_for(target),
        recipes=recipes,
        data=tuple(dict.fromkeys(data)),
        limit=limit,
        strict=strict,
        export=ExportSettings(
            buckets=DEFAULT_BUCKETS if buckets is None else parse_buckets(buckets),
            max_context=max_context,
            prefill_chunk=min(DEFAULT_PREFILL_CHUNK, max_context),
        ),
        max_tokens=max_tokens,
        fidelity_questions=fidelity_questions,
        bench=bench,
        revision=revision,
    )
    with progress_bar(f"sweep {model}") as progress:
        result = run_sweep(settings, output, _runner(jobs, ray), progress=progress, warn=note)
    _print(result)
    out.print(f"report: {output / 'report.html'}", soft_wrap=True)
    for failed in result.failures:
        error(f"{failed.recipe}, {failed.task}: {failed.reason}")
    if result.failures:
        raise typer.Exit(1)


def _runner(jobs: int | None, ray: str | None) -> "StartRunner":
    from pocketvl.evaluate.bench import cores
    from pocketvl.evaluate.sweep.local import LocalRunner
    from pocketvl.evaluate.sweep.ray_runner import RayRunner

    if ray is not None:
        return lambda store: RayRunner(ray, threads=1)
    count = jobs or min(cores(), 4)
    return lambda store: LocalRunner(store, count, max(1, cores() // count))


def _print(result: "SweepResult") -> None:
    from pocketvl.evaluate.sweep.recommendation import recommendation

    columns = ("recipe", "MB", "bits", "accuracy", "difference", "KL, nats per token", "tok/s")
    table = Table(*columns, title=f"{result.model}: {result.questions} questions")
    for column in table.columns[1:]:
        column.justify = "right"
    for recipe in result.recipes:
        table.add_row(*_cells(recipe))
    out.print(table)
    out.print(escape(recommendation(result)), soft_wrap=True)
    note_left_out(result.model, result.bad_rows, result.questions)
    note_images(result.model, result.notes)


def _cells(recipe: "RecipeResult") -> list[str]:
    difference = recipe.difference
    return [
        escape(recipe.name),
        f"{recipe.size / 1e6:,.1f}",
        f"{recipe.bits_per_weight:.2f}",
        _NOTHING if recipe.mean is None else f"{recipe.mean.mean:.1%}",
        _NOTHING
        if difference is None
        else f"{100 * difference.mean:+.1f} ± {100 * (difference.error or 0):.1f}",
        _NOTHING if recipe.fidelity is None else f"{recipe.fidelity.kl_mean:.3g}",
        _NOTHING if recipe.decode_rate is None else f"{recipe.decode_rate:.0f}",
    ]
