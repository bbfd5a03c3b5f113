"""`pocketvl evaluate`: right answers to a dataset, and how far from a reference they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvl.cli import options
from pocketvl.cli.console import note, out, print_json, progress_bar
from pocketvl.cli.evaluate_tables import fidelity_table, note_left_out, score_table
from pocketvl.cli.extras import needs_extra
from pocketvl.export.progress import Progress, parts
from pocketvl.runtime.errors import UsageError

if TYPE_CHECKING:
    from pocketvl.evaluate.data import BadRow, Dataset
    from pocketvl.evaluate.fidelity import Fidelity
    from pocketvl.evaluate.reference_cache import ReferenceCache
    from pocketvl.evaluate.summary import TaskSummary
    from pocketvl.runtime.bundle import Bundle
    from pocketvl.runtime.engine import Engine


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
        from pocketvl.evaluate.answers import check_results
        from pocketvl.evaluate.data.dataset import open_dataset
        from pocketvl.evaluate.reference_cache import ReferenceCache
        from pocketvl.evaluate.reference_models import open_reference
        from pocketvl.export.destination import check_outside_bundles, output_folder
    from pocketvl.runtime.bundle import open_bundle
    from pocketvl.runtime.engines import open_engine

    opened = _with_pixels(open_bundle(bundle), min_pixels, max_pixels)
    with progress_bar(f"evaluate {bundle}") as progress:
        progress("reading the data", 0.0)
        datasets = [
            open_dataset(spec, metric=metric, prompt=prompt, limit=limit, strict=strict) for spec in data
        ]
        folder = output_folder(output or Path(f"{bundle.resolve().name}-results"))
        check_outside_bundles(folder)
        files = _result_files(folder, datasets)
        model = None
        if against is not None:
            model = open_reference(against, opened, threads)
            if model.source_sha256 != opened.manifest.provenance.source_sha256:
                note(f"{against} has other weights than those from which {bundle} was exported.")
        engine = open_engine(opened, threads)
        for file in files if overwrite else ():
            file.unlink(missing_ok=True)
        for dataset, file in zip(datasets, files, strict=True):  # before the reference's work
            check_results(opened, dataset, file, max_tokens)
        place = folder / "reference" if reference_folder is None else output_folder(reference_folder)
        reference = None if model is None else ReferenceCache(place, model, max_tokens)
        run = _Run(opened, engine, reference, max_tokens)
        own = parts(progress, [len(dataset.questions) for dataset in datasets])
        try:
            reports = [run.evaluate(*each) for each in zip(datasets, files, own, strict=True)]
        finally:
            engine.close()
    for report in reports:
        note_left_out(report.dataset, report.bad_rows, report.scored)
    if as_json:
        print_json(
            {"bundle": str(bundle), "results": str(folder), "datasets": [r.to_json() for r in reports]}
        )
        return
    recipe = opened.manifest.recipe
    for report in reports:
        out.print(score_table(report.dataset, recipe, report.tasks))
        if report.fidelity is not None:
            out.print(fidelity_table(report.dataset, recipe, str(against), report.fidelity))
    out.print(f"answers: {folder}", soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class _Report:
    dataset: str
    fingerprint: str
    bad_rows: tuple[BadRow, ...]  # left out
    scored: int  # questions that the scores are means over
    tasks: tuple[TaskSummary, ...]
    fidelity: Fidelity | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Run:
    bundle: Bundle
    engine: Engine
    reference: ReferenceCache | None
    max_tokens: int

    def evaluate(self, dataset: Dataset, file: Path, progress: Progress) -> _Report:
        from pocketvl.evaluate.answers import answer_questions
        from pocketvl.evaluate.fidelity import measure_fidelity
        from pocketvl.evaluate.summary import summarize, unreadable

        scores = fidelity = None
        compared = 0.0 if self.reference is None else 1.0
        asking_reference, asking, comparing = parts(progress, (2 * compared, 1.0, compared))
        if self.reference is not None:
            scores = self.reference.scores(dataset, asking_reference)
            self.reference.close()  # two models of full size need not be in memory at once
        results = answer_questions(
            self.bundle, self.engine, dataset, file, max_tokens=self.max_tokens, progress=asking
        )
        if self.reference is not None:
            fidelity = measure_fidelity(self.bundle, self.engine, dataset, self.reference, comparing)
        tasks = summarize(dataset.name, results, scores)
        bad_rows = dataset.bad_rows + unreadable(results)
        scored = sum(not result.unreadable for result in results)
        return _Report(dataset.name, dataset.fingerprint, bad_rows, scored, tasks, fidelity)


def _with_pixels(bundle: Bundle, min_pixels: int | None, max_pixels: int | None) -> Bundle:
    """The bundle with other image limits, for every part that reads them."""
    image = bundle.manifest.image
    try:
        changed = dataclasses.replace(
            image,
            min_pixels=image.min_pixels if min_pixels is None else min_pixels,
            max_pixels=image.max_pixels if max_pixels is None else max_pixels,
        )
    except ValueError as error:
        raise UsageError(f"These pixel limits cannot be used: {error}.") from None
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, image=changed))


def _result_files(folder: Path, datasets: list[Dataset]) -> list[Path]:
    files = [folder / f"{dataset.name}.jsonl" for dataset in datasets]
    for dataset, file in zip(datasets, files, strict=True):
        if files.count(file) > 1:
            raise UsageError(
                f"Two datasets are called {dataset.name}; rename one, or evaluate them one by one."
            )
    return files
