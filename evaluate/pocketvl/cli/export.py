"""`pocketvl export`: a checkpoint becomes a bundle."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any

import typer

from pocketvl.cli.console import megabytes, note, out, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.cli.recipe import (
    METHOD,
    Lora,
    MaxKL,
    MaxPixels,
    MinPixels,
    SizeBudget,
    check_free,
    describe,
    make_goal,
    make_plan,
    note_generated,
    write_recipe,
)
from pocketvl.cli.targets import chosen_targets
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.manifest import Manifest


def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Hub id, local folder, or `tiny`.")],
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
    size_budget: SizeBudget = None,
    max_kl: MaxKL = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How integers are chosen: gptq (calibrated), hqq, rtn (quick).  [default: the recipe's]"
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="What gptq looks at: a folder of pictures, a .jsonl file, generated.  [default: generated]"
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None, typer.Option(help="How many of them.  [default: the recipe's]", min=1)
    ] = None,
    lora: Lora = None,
    buckets: Annotated[
        str | None,
        typer.Option(help="Numbers of patches, ascending.  [default: 256,576,1024,2304,4096]"),
    ] = None,
    vision_shapes: Annotated[
        str,
        typer.Option(
            help="ExecuTorch: dynamic, one method for any size; buckets, one static method a bucket."
        ),
    ] = "dynamic",
    chunks: Annotated[
        int | None,
        typer.Option(help="Core ML: packages that the decoder is split into.  [default: 1]", min=1),
    ] = None,
    max_context: Annotated[int, typer.Option(help="Tokens that a conversation can hold.", min=1)] = 2048,
    prefill_chunk: Annotated[int, typer.Option(help="Most tokens of one decoder call.", min=1)] = 256,
    min_pixels: MinPixels = None,
    max_pixels: MaxPixels = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
) -> None:
    """Export a Qwen2-VL checkpoint into a folder that an app ships."""
    targets = chosen_targets(target)
    if chunks is not None and names.COREML not in targets:
        raise UsageError("--chunks splits the decoder of Core ML; leave it out or add --target coreml.")
    with needs_extra("export", "Exporting"):
        from pocketvl.cli.export_command import export_command
        from pocketvl.export.component import DEFAULT_BUCKETS, ExportSettings
        from pocketvl.export.destination import check_destination
        from pocketvl.export.pipeline import check_export, export_bundle
        from pocketvl.export.targets import target_for
        from pocketvl.quant.recipe_file import load_recipe
    settings = ExportSettings(
        buckets=DEFAULT_BUCKETS if buckets is None else parse_buckets(buckets),
        vision_shapes=vision_shapes,
        max_context=max_context,
        prefill_chunk=prefill_chunk,
    )
    output = output.expanduser()
    bundles = {name: output / name if len(targets) > 1 else output for name in targets}
    for bundle in bundles.values():
        check_destination(bundle, overwrite)
    goal = make_goal(size_budget, max_kl)
    plan = None
    if goal is None:
        chosen = load_recipe(recipe or "int4", method).with_calibration(calibration, calibration_samples)
        if chosen.calibrated:
            note_generated(chosen.calibration.data, model)
    else:
        if recipe is not None:
            raise UsageError(
                "--size-budget and --max-kl choose the bits themselves; leave them or --recipe out."
            )
        check_free(_beside(output), overwrite)
        plan = make_plan(
            model,
            goal,
            method or METHOD,
            calibration,
            calibration_samples,
            targets=targets,
            settings=settings,
            lora=lora or (),
            min_pixels=min_pixels,
            max_pixels=max_pixels,
        )
        chosen = plan.recipe
    decisions = output.with_name(f".{output.name}.calibration")  # one calibration for all targets
    common: dict[str, Any] = {
        "recipe": chosen,
        "lora": lora or (),
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
    }
    of_target = {
        name: replace(settings, decoder_chunks=chunks or 1) if name == names.COREML else settings
        for name in targets
    }
    # The first checks itself; what the others refuse is to be known before its work.
    for name in targets[1:]:
        check_export(model, settings=of_target[name], target=target_for(name), **common)
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
                warn=note,
            )
        _report(manifest, bundle)
    rmtree(decisions, ignore_errors=True)
    if plan is not None:
        write_recipe(plan, _beside(output))
        out.print(f"{describe(plan)}, recipe: {_beside(output)}", soft_wrap=True)


def parse_buckets(text: str) -> tuple[int, ...]:
    """ "256,576" -> (256, 576). Raises UsageError."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--buckets {text!r} must be numbers with commas between, such as 256,1024."
        ) from None


def _beside(output: Path) -> Path:
    """Where the recipe of a bundle goes whose bits were chosen here."""
    return output.with_name(f"{output.name}.recipe.toml")


def _report(manifest: Manifest, output: Path) -> None:
    total = sum(record.size for record in manifest.files)
    out.print(f"{output}: recipe {manifest.recipe}, {megabytes(total)}", soft_wrap=True)
    width = max(len(record.path) for record in manifest.files)
    for record in manifest.files:
        out.print(f"  {record.path:{width}} {megabytes(record.size):>14}", soft_wrap=True)
