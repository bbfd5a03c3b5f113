"""The whole export: checkpoint -> graphs -> artifacts -> bundle."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any, Protocol, TypeVar

from pocketvl.export.bundle_writer import PartialBundle, partial_bundle
from pocketvl.export.calibration.calibrate import calibrate
from pocketvl.export.calibration.store import CalibratedSource
from pocketvl.export.checkpoint import Checkpoint, MergedLora, merge_lora, open_checkpoint
from pocketvl.export.checkpoint.kept import (
    PackedSource,
    describe_kept,
    kept_layers,
    method_name,
    with_checkpoint_bits,
)
from pocketvl.export.checkpoint.requantizer import with_damage
from pocketvl.export.component import Component, ExportSettings, Progress, TensorSource
from pocketvl.export.destination import check_destination
from pocketvl.export.estimate import Estimate, StoredBytes, check_space, estimate_export, stored_bytes
from pocketvl.export.executorch.text import export_text_decoder
from pocketvl.export.executorch.vision import export_vision_encoder
from pocketvl.export.isolated import run_isolated
from pocketvl.export.layers import linear_layers
from pocketvl.export.model_card import write_card
from pocketvl.export.resolve_settings import fit_image, fit_settings
from pocketvl.quant.packed.damage import Damage, describe_damage
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.geometry import ImageSettings, ModelGeometry
from pocketvl.runtime.manifest import EmbeddingTable, EntryPoint, LayerGroup, Manifest, Provenance

T = TypeVar("T")

VisionExporter = Callable[[TensorSource, Recipe, ExportSettings, Path, Progress], Component]
TextExporter = Callable[
    [TensorSource, Recipe, ExportSettings, tuple[int, ...], Path, Progress],
    tuple[Component, EmbeddingTable],
]

# An export that needs more memory than this runs each component in a process of its own, so that the second
# does not pile up on what the first left. A small one would only wait for two more interpreters.
_ISOLATED_ABOVE = 2 * 10**9
# Shares of the whole that the steps take, from a full-size export.
_VISION_END, _TEXT_END = 0.4, 0.95
_CALIBRATION_END = 0.8  # where the recipe is calibrated; the rest follows it


class Runner(Protocol):
    """Calls function(*arguments, progress), here or elsewhere."""

    def __call__(self, function: Callable[..., T], arguments: tuple[Any, ...], progress: Progress) -> T: ...


@dataclass(frozen=True)
class Written:
    """What the components of a bundle hold."""

    entry_points: tuple[EntryPoint, ...]
    layers: tuple[LayerGroup, ...]
    table: EmbeddingTable
    damage: tuple[Damage, ...]  # of layers of a packed checkpoint that were quantized again


def _ignore(*_: object) -> None:
    pass


def _check_executorch(settings: ExportSettings, geometry: ModelGeometry, recipe: Recipe) -> None:
    settings.check_one_decoder()
    for layer in linear_layers(geometry):
        if recipe.bits(layer.name, layer.in_features).bits == 16:
            raise UsageError(
                f"The recipe {recipe.name!r} stores {layer.name} in float16, which ExecuTorch bundles do"
                " not; use --target onnx or --target coreml, or give it 32 or 8 bits."
            )


def _estimate_executorch(geometry: ModelGeometry, recipe: Recipe, _: ExportSettings) -> Estimate:
    return estimate_export(geometry, recipe)


@dataclass(frozen=True)
class Exporters:
    """What turns weights into artifacts. ExecuTorch's, unless told otherwise."""

    vision: VisionExporter = export_vision_encoder
    text: TextExporter = export_text_decoder
    target: str = names.EXECUTORCH
    tools: tuple[str, ...] = ("torch", "torchao", "executorch")  # whose versions the manifest records
    # Raises UsageError, before any work, for settings or a recipe that the target cannot take.
    check: Callable[[ExportSettings, ModelGeometry, Recipe], None] = _check_executorch
    # Disk and memory, before any work. Raises RecipeError.
    estimate: Callable[[ModelGeometry, Recipe, ExportSettings], Estimate] = _estimate_executorch
    # Weight and scales of a layer in the artifact.
    stored: StoredBytes = stored_bytes
    # Writes what the folder needs beside its components.
    finish: Callable[[Path, Checkpoint, ImageSettings, ExportSettings], None] = _ignore


@dataclass(frozen=True)
class Task:
    """A checkpoint and how it is exported, with all that the call left open filled in."""

    checkpoint: Checkpoint
    source: Checkpoint | MergedLora
    recipe: Recipe
    settings: ExportSettings
    image: ImageSettings
    exporters: Exporters
    estimate: Estimate


def export_bundle(
    model: str,
    output: Path,
    *,
    recipe: Recipe,
    settings: ExportSettings,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    overwrite: bool = False,
    decisions: Path | None = None,
    command: str,
    progress: Progress = _ignore,
    warn: Callable[[str], None] = _ignore,
    exporters: Exporters | None = None,
) -> Manifest:
    """Export `model` (hub id, folder or `tiny`) into the new folder `output`.

    lora: folders of PEFT adapters that are merged into the weights, one after the other. A checkpoint of
    packed integers decides the bits of its layers where the recipe quantizes them at all.
    min_pixels and max_pixels replace the checkpoint's picture limits. overwrite replaces an existing
    bundle once the new one is complete. command is recorded in the manifest. Whatever can be known to
    fail is refused before any work, and a failure leaves nothing behind but what calibration has decided so
    far, beside `output` in .NAME.calibration, from where the same call goes on. decisions: another folder for
    that, which is the caller's to remove, so that exports for several targets calibrate once. Raises
    UsageError, CheckpointError, RecipeError, CalibrationError, ExportError.
    """
    output, exporters = output.expanduser(), exporters or Exporters()
    check_destination(output, overwrite)
    progress("reading the checkpoint", 0.0)
    task = check_export(
        model,
        recipe=recipe,
        settings=settings,
        lora=lora,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        exporters=exporters,
    )
    if kept := kept_layers(task.recipe, task.source):
        warn(describe_kept(kept, task.source))
    warning = check_space(task.estimate, output)
    if warning is not None:
        warn(warning)
    run = run_isolated if task.estimate.memory > _ISOLATED_ABOVE else _run_here
    decided = decisions or output.with_name(f".{output.name}.calibration")
    weights: PackedSource = task.source
    data: str | None = None
    if task.recipe.calibrated:
        arguments = (task.checkpoint, task.source, task.recipe, task.settings, task.image, decided)
        data = run(calibrate, arguments, _share(progress, 0.0, _CALIBRATION_END))
        weights, progress = CalibratedSource(task.source, decided), _share(progress, _CALIBRATION_END, 1.0)
    with partial_bundle(output, overwrite=overwrite) as partial:
        written = _write_components(partial.folder, task, weights, run, progress)
        if written.damage:
            warn(describe_damage(written.damage))
        _write_text_files(task.checkpoint, partial.folder)
        exporters.finish(partial.folder, task.checkpoint, task.image, task.settings)
        progress("hashing", _TEXT_END)
        manifest = _manifest(partial, task, written, data, command)
        write_card(partial.folder, manifest, task.checkpoint.folder)
        partial.complete(manifest)
    if decisions is None:
        rmtree(decided, ignore_errors=True)
    progress("done", 1.0)
    return manifest


def check_export(
    model: str,
    *,
    recipe: Recipe,
    settings: ExportSettings,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    exporters: Exporters,
) -> Task:
    """What can be known before any work. Raises UsageError, CheckpointError, RecipeError."""
    checkpoint = open_checkpoint(model)
    source = merge_lora(checkpoint, lora)
    image = fit_image(checkpoint.image, source.geometry.vision, min_pixels, max_pixels)
    settings = fit_settings(settings, image, source.geometry)
    exporters.check(settings, source.geometry, recipe)
    recipe = with_checkpoint_bits(recipe, source)
    estimate = exporters.estimate(source.geometry, recipe, settings)
    return Task(checkpoint, source, recipe, settings, image, exporters, estimate)


def _write_components(
    folder: Path, task: Task, weights: PackedSource, run: Runner, progress: Progress
) -> Written:
    """weights: those of the task, calibrated where its recipe is."""
    given = (weights, task.recipe, task.settings)
    vision, vision_damage = run(
        with_damage, (task.exporters.vision, *given, folder), _share(progress, 0.0, _VISION_END)
    )
    (text, table), text_damage = run(
        with_damage,
        (task.exporters.text, *given, task.checkpoint.special_tokens.eos, folder),
        _share(progress, _VISION_END, _TEXT_END),
    )
    entry_points = (*vision.entry_points, *text.entry_points)
    layers = (*vision.layers, *text.layers)
    return Written(entry_points, layers, table, (*vision_damage, *text_damage))


def _write_text_files(source: Checkpoint, folder: Path) -> None:
    copyfile(source.tokenizer_file, folder / names.TOKENIZER_FILE)
    if source.chat_template is not None:
        (folder / names.CHAT_TEMPLATE_FILE).write_text(source.chat_template, encoding="utf-8")


def _manifest(
    partial: PartialBundle, task: Task, written: Written, data: str | None, command: str
) -> Manifest:
    """data: sha256 of what was calibrated on."""
    checkpoint, settings, exporters = task.checkpoint, task.settings, task.exporters
    return Manifest(
        schema_version=names.SCHEMA_VERSION,
        target=exporters.target,
        recipe=task.recipe.name,
        quantization_method=method_name(task.recipe, task.source),
        geometry=task.source.geometry,
        special_tokens=checkpoint.special_tokens,
        image=task.image,
        buckets=settings.buckets,
        max_context=settings.max_context,
        prefill_chunk=settings.prefill_chunk,
        chat=checkpoint.chat,
        sampling=checkpoint.sampling,
        entry_points=written.entry_points,
        token_embedding=written.table,
        layers=written.layers,
        files=partial.records(exporters.target),
        optional_files=partial.records(exporters.target, optional=True),
        provenance=Provenance(
            source=task.source.name,
            source_sha256=task.source.fingerprint(),
            calibration=_calibration(task.recipe) if data else None,
            calibration_sha256=data,
            pocketvl=version("pocketvl"),
            tools={tool: version(tool) for tool in exporters.tools},
            command=command,
        ),
    )


def _calibration(recipe: Recipe) -> str:
    """Without this machine's folders."""
    return f"{recipe.calibration.samples} of {Path(recipe.calibration.data).name}"


def _run_here(function: Callable[..., T], arguments: tuple[Any, ...], progress: Progress) -> T:
    with warnings.catch_warnings():
        # Libraries warn of their own deprecated calls, which no user can act on.
        warnings.simplefilter("ignore")
        return function(*arguments, progress)


def _share(progress: Progress, start: float, end: float) -> Progress:
    """Progress of one step as part of the whole."""
    return lambda step, share: progress(step, start + share * (end - start))
