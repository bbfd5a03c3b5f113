"""The whole export: checkpoint -> graphs -> artifacts -> bundle."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any, Protocol, TypeVar

from pocketvl.export.bundle.model_card import write_card
from pocketvl.export.bundle.writer import PartialBundle, check_destination, output_folder, partial_bundle
from pocketvl.export.calibration.calibrate import calibrate
from pocketvl.export.calibration.samples import describe_notes
from pocketvl.export.calibration.store import CalibratedSource
from pocketvl.export.chat_template import check_chat_template
from pocketvl.export.checkpoint import Checkpoint, MergedLora, merge_lora, open_checkpoint
from pocketvl.export.component import (
    ExportSettings,
    PackedSource,
    RotatedSource,
    fit_calibration,
    fit_image,
    fit_settings,
)
from pocketvl.export.estimate import Estimate, ExportCost, check_space, export_cost, fits_twice
from pocketvl.export.isolated import Call, Later, run_isolated, run_together
from pocketvl.export.layer_plan import LayerPlan, resolve
from pocketvl.export.progress import Progress, abreast, parts, silent
from pocketvl.export.target import ExportInputs, Target
from pocketvl.export.weights import Requantizer
from pocketvl.quant.packed.weight_error import WeightError, describe_weight_errors
from pocketvl.quant.recipe import CALIBRATED_METHODS, GENERATED, Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.bundle.manifest import EmbeddingTable, EntryPoint, LayerGroup, Manifest, Provenance

T = TypeVar("T")

# An export that needs more memory than this runs each component in a process of its own, so that the second
# does not pile up on what the first left. A small one would only wait for two more interpreters.
_ISOLATED_ABOVE = 2 * 10**9


class Runner(Protocol):
    """Calls function(*arguments, progress), here or elsewhere."""

    def __call__(self, function: Callable[..., T], arguments: tuple[Any, ...], progress: Progress) -> T: ...


@dataclass(frozen=True)
class Written:
    """What the components of a bundle hold."""

    entry_points: tuple[EntryPoint, ...]
    layers: tuple[LayerGroup, ...]
    table: EmbeddingTable
    weight_errors: tuple[WeightError, ...]  # of layers of a packed checkpoint that were quantized again


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class ExportJob:
    """A checkpoint and how it is exported, with all that the call left open filled in."""

    target: Target
    checkpoint: Checkpoint
    source: Checkpoint | MergedLora
    plan: LayerPlan
    settings: ExportSettings
    image: ImageSettings
    estimate: Estimate
    notes: tuple[str, ...]  # for the user

    @property
    def weights(self) -> Checkpoint | MergedLora | RotatedSource:
        """The source's, rotated where the plan says so."""
        return RotatedSource(self.source) if self.plan.rotated else self.source

    @property
    def isolated(self) -> bool:
        """Whether each component gets a process of its own."""
        return self.estimate.memory > _ISOLATED_ABOVE

    def cost(self) -> ExportCost:
        """How long it is going to take, with the memory that is free now."""
        together = self.isolated and fits_twice(self.estimate)
        return export_cost(
            self.target.name, self.plan, self.settings, self.image, self.estimate.disk, together=together
        )


def export_bundle(
    model: str,
    output: Path,
    *,
    target: Target,
    recipe: Recipe,
    settings: ExportSettings,
    revision: str | None = None,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    overwrite: bool = False,
    decisions: Path | None = None,
    command: str,
    progress: Progress = silent,
    warn: Callable[[str], None] = _ignore,
) -> Manifest:
    """Export `model` (hub id, folder or `tiny`) into the new folder `output`.

    A calibrated recipe that names no data is rounded, with a note, unless the model is `tiny`.
    revision: a branch, tag or commit of a hub id; the manifest records the commit.
    lora: folders of PEFT adapters that are merged into the weights, one after the other. A checkpoint of
    packed integers decides the bits of its layers where the recipe quantizes them at all.
    min_pixels and max_pixels replace the checkpoint's image limits. overwrite replaces an existing
    bundle once the new one is complete. command is recorded in the manifest. Whatever can be known to
    fail is refused before any work, and a failure leaves nothing behind but what calibration has decided so
    far, beside `output` in .NAME.calibration, from where the same call goes on. decisions: another folder for
    that, which is the caller's to remove, so that exports for several targets calibrate once. Raises
    UsageError, CheckpointError, RecipeError, CalibrationError, ExportError.
    """
    output = output_folder(output)
    check_destination(output, overwrite)
    progress("reading the checkpoint", 0.0)
    job = check_export(
        model,
        target=target,
        recipe=recipe,
        settings=settings,
        revision=revision,
        lora=lora,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    for sentence in job.notes:
        warn(sentence)
    warning = check_space(job.estimate, output)
    if warning is not None:
        warn(warning)
    run = run_isolated if job.isolated else _run_here
    decided = decisions or output.with_name(f".{output.name}.calibration")
    weights: PackedSource = job.weights
    data: str | None = None
    cost = job.cost()
    _, calibrating, writing, finishing = parts(
        progress, (cost.start, cost.calibration, cost.components, cost.finish)
    )
    if job.plan.recipe.calibrated:
        arguments = (job.checkpoint, weights, job.plan, job.settings, job.image, decided)
        data, unlike = run(calibrate, arguments, calibrating)
        if unlike:
            warn(describe_notes(unlike))
        weights = CalibratedSource(weights, decided)
    with partial_bundle(output, overwrite=overwrite) as partial:
        source_sha256 = Later(job.source.fingerprint)
        written = _write_components(partial.folder, job, weights, run, writing)
        if written.weight_errors:
            warn(describe_weight_errors(written.weight_errors))
        _write_text_files(job.checkpoint, partial.folder)
        target.finish(partial.folder, job.checkpoint, job.image, job.settings)
        finishing("hashing", 0.0)
        manifest = _manifest(partial, job, written, source_sha256.result(), data, command)
        write_card(partial.folder, manifest, job.checkpoint.folder)
        partial.complete(manifest)
    if decisions is None:
        rmtree(decided, ignore_errors=True)
    progress("done", 1.0)
    return manifest


def check_export(
    model: str,
    *,
    target: Target,
    recipe: Recipe,
    settings: ExportSettings,
    revision: str | None = None,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> ExportJob:
    """What can be known before any work. Raises UsageError, CheckpointError, RecipeError."""
    recipe, notes = fit_calibration(recipe, model)
    checkpoint = open_checkpoint(model, revision)
    source = merge_lora(checkpoint, lora)
    image = fit_image(checkpoint.image, source.geometry.vision, min_pixels, max_pixels)
    settings = fit_settings(settings, image, source.geometry)
    plan = resolve(recipe, source.geometry, source)
    target.check(settings, plan)
    estimate = target.estimate(plan, settings)
    notes = (*source.notes, *check_chat_template(checkpoint), *notes, *_plan_notes(plan))
    return ExportJob(target, checkpoint, source, plan, settings, image, estimate, notes)


def _plan_notes(plan: LayerPlan) -> Iterator[str]:
    if plan.method in CALIBRATED_METHODS and not plan.recipe.calibrated:
        yield f"No layer has fewer than 8 bits, so all are rounded: {plan.method} has nothing to do."
    if kept := plan.describe_kept():
        yield kept


def with_damage(
    export: Callable[[ExportInputs, Progress], T],
    inputs: ExportInputs,
    requantized: frozenset[str],
    progress: Progress,
) -> tuple[T, list[WeightError]]:
    """export(inputs, progress), and what quantizing these layers of a packed checkpoint again cost it."""
    requantizer = Requantizer(inputs.source, requantized, inputs.plan)
    return export(replace(inputs, source=requantizer), progress), requantizer.weight_errors


def _write_components(
    folder: Path, job: ExportJob, weights: PackedSource, run: Runner, progress: Progress
) -> Written:
    """weights: those of the job, calibrated where its recipe is."""
    inputs = ExportInputs(weights, job.plan, job.settings, job.checkpoint.special_tokens, folder)
    given = inputs, frozenset(weights.requantized)
    vision_call = with_damage, (job.target.export_vision, *given)
    text_call = with_damage, (job.target.export_text, *given)
    cost = job.cost()  # by the memory that is free now, after calibration
    seconds = cost.vision, cost.text
    if cost.together:
        calls = zip((vision_call, text_call), abreast(progress, seconds), strict=True)
        (vision, vision_damage), ((text, table), text_damage) = run_together(
            [Call(*call, own) for call, own in calls]
        )
    else:
        of_vision, of_text = parts(progress, seconds)
        vision, vision_damage = run(*vision_call, of_vision)
        (text, table), text_damage = run(*text_call, of_text)
    entry_points = (*vision.entry_points, *text.entry_points)
    layers = (*vision.layers, *text.layers)
    return Written(entry_points, layers, table, (*vision_damage, *text_damage))


def _write_text_files(source: Checkpoint, folder: Path) -> None:
    copyfile(source.tokenizer_file, folder / names.TOKENIZER_FILE)
    if source.chat_template is not None:
        (folder / names.CHAT_TEMPLATE_FILE).write_text(source.chat_template, encoding="utf-8")


def _manifest(
    partial: PartialBundle,
    job: ExportJob,
    written: Written,
    source_sha256: str,
    data: str | None,
    command: str,
) -> Manifest:
    """data: sha256 of what was calibrated on."""
    checkpoint, settings, target, recipe = job.checkpoint, job.settings, job.target, job.plan.recipe
    return Manifest(
        schema_version=names.SCHEMA_VERSION,
        target=target.name,
        recipe=recipe.name,
        quantization_method=job.plan.method_name,
        geometry=job.plan.geometry,
        special_tokens=checkpoint.special_tokens,
        image=job.image,
        buckets=settings.buckets,
        max_context=settings.max_context,
        prefill_chunk=settings.prefill_chunk,
        chat=checkpoint.chat,
        sampling=checkpoint.sampling,
        entry_points=written.entry_points,
        token_embedding=written.table,
        layers=written.layers,
        files=partial.records(target.name),
        optional_files=partial.records(target.name, optional=True),
        provenance=Provenance(
            source=job.source.name,
            source_sha256=source_sha256,
            calibration=_calibration(recipe) if data else None,
            calibration_sha256=data,
            pocketvl=version("pocketvl"),
            tools={package: version(package) for package in target.packages},
            command=command,
            source_revision=checkpoint.revision,
        ),
    )


def _calibration(recipe: Recipe) -> str:
    """Without this machine's folders."""
    return f"{recipe.calibration.samples} of {Path(recipe.calibration.data or GENERATED).name}"


def _run_here(function: Callable[..., T], arguments: tuple[Any, ...], progress: Progress) -> T:
    with warnings.catch_warnings():
        # Libraries warn of their own deprecated calls, which no user can act on.
        warnings.simplefilter("ignore")
        return function(*arguments, progress)
