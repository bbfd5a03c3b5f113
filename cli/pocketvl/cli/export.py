"""`pocketvl export`: a checkpoint becomes a bundle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any

import typer
from rich.markup import escape

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, note, out, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.cli.options import parse_buckets
from pocketvl.cli.plans import check_data, check_free, describe, make_goal, make_plan, write_recipe
from pocketvl.cli.targets import chosen_targets
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.errors import UsageError


def export(
    context: typer.Context,
    model: options.ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle.")],
    target: Annotated[
        list[str] | None,
        typer.Option(help="executorch, coreml or onnx; several get a folder each.  [default: executorch]"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="fp32, fp16 (onnx, coreml), int8, int4, int4-small, int4-fast or a .toml file."
            "  [default: int4]"
        ),
    ] = None,
    size_budget: options.SizeBudget = None,
    max_kl: options.MaxKL = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How integers are chosen: gptq (calibrated), hqq, rtn (quick).  [default: the recipe's]"
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="What gptq looks at: a folder of images, a .jsonl file, general, generated.  [default:"
            " nothing, which rounds; generated for `tiny`]"
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None, typer.Option(help="How many of them.  [default: the recipe's]", min=1)
    ] = None,
    revision: options.Revision = None,
    lora: options.Lora = None,
    buckets: options.Buckets = None,
    vision_shapes: Annotated[
        str,
        typer.Option(
            help="ExecuTorch: dynamic, one method for any size; buckets, one static method a bucket."
        ),
    ] = "dynamic",
    decoder_packages: Annotated[
        int | None,
        typer.Option(help="Core ML: packages that the decoder is split into.  [default: 1]", min=1),
    ] = None,
    max_context: options.MaxContext = 2048,
    prefill_chunk: Annotated[int, typer.Option(help="Most tokens of one decoder call.", min=1)] = 256,
    min_pixels: options.ExportMinPixels = None,
    max_pixels: options.ExportMaxPixels = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check everything, and estimate sizes, memory and time. A hub id is downloaded first.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print it as JSON.")] = False,
) -> None:
    """Export a Qwen2-VL checkpoint into a folder that an app ships."""
    targets = chosen_targets(target)
    if decoder_packages is not None and names.COREML not in targets:
        raise UsageError(
            "--decoder-packages splits the decoder of Core ML; leave it out or add --target coreml."
        )
    if as_json and not dry:
        raise UsageError("--json prints what --dry-run finds out; add that, or leave it out.")
    if dry and (size_budget is not None or max_kl is not None):
        raise UsageError("--dry-run knows nothing of bits that are still to be measured; name a --recipe.")
    with needs_extra("export", "Exporting"):
        from pocketvl.cli.dry_run import dry_run
        from pocketvl.cli.export_command import export_command
        from pocketvl.export.bundle.writer import check_destination, output_folder
        from pocketvl.export.component import DEFAULT_BUCKETS, ExportSettings
        from pocketvl.export.pipeline import check_export, export_bundle
        from pocketvl.export.targets import target_for
        from pocketvl.quant.recipe_file import load_recipe
    settings = ExportSettings(
        buckets=DEFAULT_BUCKETS if buckets is None else parse_buckets(buckets),
        vision_shapes=vision_shapes,
        max_context=max_context,
        prefill_chunk=prefill_chunk,
    )
    output = output_folder(output)
    bundles = {name: output / name if len(targets) > 1 else output for name in targets}
    for bundle in bundles.values():
        check_destination(bundle, overwrite)
    goal = make_goal(size_budget, max_kl)
    plan = None
    if goal is None:
        chosen = load_recipe(recipe or "int4", method).with_calibration(calibration, calibration_samples)
        if chosen.calibrated:
            check_data(model, method, chosen.calibration.data, calibration_samples)
    else:
        if recipe is not None:
            raise UsageError(
                "--size-budget and --max-kl choose the bits themselves; leave them or --recipe out."
            )
        check_free(_beside(output), overwrite)
        plan = make_plan(
            model,
            goal,
            method,
            calibration,
            calibration_samples,
            targets=targets,
            settings=settings,
            revision=revision,
            lora=lora or (),
            min_pixels=min_pixels,
            max_pixels=max_pixels,
        )
        chosen = plan.recipe
    decisions = output.with_name(f".{output.name}.calibration")  # one calibration for all targets
    common: dict[str, Any] = {
        "recipe": chosen,
        "revision": revision,
        "lora": lora or (),
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
    }
    of_target = {
        name: replace(settings, decoder_chunks=decoder_packages or 1) if name == names.COREML else settings
        for name in targets
    }
    if dry:
        jobs = {
            bundle: check_export(model, settings=of_target[name], target=target_for(name), **common)
            for name, bundle in bundles.items()
        }
        dry_run(jobs, as_json=as_json)
        return
    # The first checks itself; what the others refuse is to be known before its work.
    for name in targets[1:]:
        check_export(model, settings=of_target[name], target=target_for(name), **common)
    note_once = _noting_once()
    for name, bundle in bundles.items():
        with progress_bar(f"export {model}") as progress:
            manifest = export_bundle(
                model,
                bundle,
                target=target_for(name),
                settings=of_target[name],
                **common,
                overwrite=overwrite,
                decisions=decisions,
                command=export_command(context),
                progress=progress,
                warn=note_once,
            )
        _report(manifest, bundle)
    rmtree(decisions, ignore_errors=True)
    if plan is not None:
        write_recipe(plan, _beside(output))
        out.print(f"{describe(plan)}, recipe: {_beside(output)}", soft_wrap=True)


def _noting_once() -> Callable[[str], None]:
    """A note() that says nothing twice: what holds for all targets is noted by the first."""
    said: set[str] = set()

    def note_once(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            note(sentence)

    return note_once


def _beside(output: Path) -> Path:
    """Where the recipe of a bundle goes whose bits were chosen here."""
    return output.with_name(f"{output.name}.recipe.toml")


def _report(manifest: Manifest, output: Path) -> None:
    total = sum(record.size for record in manifest.files)
    optional = sum(record.size for record in manifest.optional_files)
    more = f", and {megabytes(optional)} that transformers.js alone reads" if optional else ""
    out.print(escape(f"{output}: recipe {manifest.recipe}, {megabytes(total)}{more}"), soft_wrap=True)
    records = (*manifest.files, *manifest.optional_files)
    width = max(len(record.path) for record in records)
    for record in records:
        mark = "  (optional)" if record in manifest.optional_files else ""
        out.print(f"  {record.path:{width}} {megabytes(record.size):>14}{mark}", soft_wrap=True)
