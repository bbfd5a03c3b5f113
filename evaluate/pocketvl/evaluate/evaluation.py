"""A bundle's folder and datasets in, scores out: an interrupted run goes on where it was."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pocketvl.evaluate.answers import answer_questions, check_results
from pocketvl.evaluate.data import BadRow, Dataset, open_dataset
from pocketvl.evaluate.fidelity import Fidelity, measure_fidelity
from pocketvl.evaluate.reference_cache import ReferenceCache
from pocketvl.evaluate.reference_models import CheckpointReference, open_reference
from pocketvl.evaluate.summary import TaskSummary, summarize, unreadable
from pocketvl.export.bundle.writer import check_outside_bundles, output_folder
from pocketvl.export.progress import Progress, parts, silent
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import UsageError


@dataclasses.dataclass(frozen=True)
class DatasetReport:
    """What came of one dataset. fidelity: None without a reference."""

    dataset: str
    fingerprint: str
    bad_rows: tuple[BadRow, ...]  # left out
    scored: int  # questions that the scores are means over
    notes: tuple[str, ...]  # sentences about images that were not read by the letter
    tasks: tuple[TaskSummary, ...]
    fidelity: Fidelity | None

    def to_json(self) -> dict[str, Any]:
        """As `pocketvl evaluate --json` prints it."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """recipe: the bundle's. folder: where the answers are, a file for each dataset."""

    recipe: str
    folder: Path
    datasets: tuple[DatasetReport, ...]


def evaluate_bundle(
    bundle: str | Path,
    data: str | Path | Sequence[str | Path],
    *,
    metric: str | None = None,
    prompt: str | None = None,
    limit: int | None = None,
    strict: bool = False,
    against: str | Path | None = None,
    revision: str | None = None,
    output: str | Path | None = None,
    reference_folder: str | Path | None = None,
    overwrite: bool = False,
    max_tokens: int = 128,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
    warn: Callable[[str], None] = warnings.warn,
) -> Evaluation:
    """Ask the bundle every question of one or several datasets, greedily, and score the answers.

    data, metric, prompt, limit, strict: see open_dataset. against: another bundle or a model to compare
    with: hub id (of the branch, tag or commit `revision`), folder or `tiny`; what it says is kept in
    `reference_folder`, else in `reference` in the output. output: a folder for the answers; None is the
    bundle's name with "-results" in the working folder; answers of the same run that are there are not asked
    again, those of another are an error unless `overwrite`. min_pixels, max_pixels: instead of the bundle's
    limits.

    Raises UsageError, and what opening and running bundle, data and reference raises.
    """
    if revision is not None and against is None:
        raise UsageError(f"--revision {revision} is of the model to compare with; name it by --against.")
    folder = Path(bundle)
    opened = _with_pixels(open_bundle(folder), min_pixels, max_pixels)
    progress("reading the data", 0.0)
    specs = [data] if isinstance(data, str | Path) else data
    datasets = [
        open_dataset(str(spec), metric=metric, prompt=prompt, limit=limit, strict=strict) for spec in specs
    ]
    results = output_folder(Path(output or f"{folder.resolve().name}-results"))
    check_outside_bundles(results)
    files = _result_files(results, datasets)
    model = None
    if against is not None:
        model = open_reference(str(against), opened, threads, revision)
        if model.source_sha256 != opened.manifest.provenance.source_sha256:
            warn(f"{against} has other weights than those from which {bundle} was exported.")
    if isinstance(model, CheckpointReference) and any(q.videos for each in datasets for q in each.questions):
        raise UsageError(
            "Questions about videos are compared with a bundle, usually of the recipe fp32; give one as"
            " --against."
        )
    engine = open_engine(opened, threads)
    for file in files if overwrite else ():
        file.unlink(missing_ok=True)
    for dataset, file in zip(datasets, files, strict=True):  # before the reference's work
        check_results(opened, dataset, file, max_tokens)
    place = results / "reference" if reference_folder is None else output_folder(Path(reference_folder))
    reference = None if model is None else ReferenceCache(place, model, max_tokens)
    run = _Run(opened, engine, reference, max_tokens)
    own = parts(progress, [len(dataset.questions) for dataset in datasets])
    try:
        reports = tuple(run.evaluate(*each) for each in zip(datasets, files, own, strict=True))
    finally:
        engine.close()
    return Evaluation(opened.manifest.recipe, results, reports)


@dataclasses.dataclass(frozen=True)
class _Run:
    bundle: Bundle
    engine: Engine
    reference: ReferenceCache | None
    max_tokens: int

    def evaluate(self, dataset: Dataset, file: Path, progress: Progress) -> DatasetReport:
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
        notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
        return DatasetReport(dataset.name, dataset.fingerprint, bad_rows, scored, notes, tasks, fidelity)


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
