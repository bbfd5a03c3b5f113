"""The three targets by their names, and exports by names alone.

The only module that imports the targets, each when it is asked for.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from pocketvl.export import pipeline
from pocketvl.export.component import ExportSettings
from pocketvl.export.progress import silent
from pocketvl.export.target import Target
from pocketvl.quant.recipe_file import load_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.extras import import_failure


def target_for(name: str) -> Target:
    """What writes bundles for "executorch", "coreml" or "onnx".

    Raises UsageError for another name, MissingExtraError.
    """
    try:
        match name:
            case names.EXECUTORCH:
                from pocketvl.export.executorch.target import EXECUTORCH

                return EXECUTORCH
            case names.COREML:
                from pocketvl.export.coreml.target import COREML

                return COREML
            case names.ONNX:
                from pocketvl.export.onnx.target import ONNX

                return ONNX
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, f"Exporting for {name} needs a package", "export") from None
    raise UsageError(f"{name!r} is no target; known are {', '.join(names.TARGETS)}.")


def export_bundle(
    model: str | PathLike[str],
    output: str | PathLike[str],
    *,
    target: str = "executorch",
    recipe: str | PathLike[str] = "int4",
    method: str | None = None,
    calibration: str | PathLike[str] | None = None,
    calibration_samples: int | None = None,
    lora: Sequence[str | PathLike[str]] = (),
    revision: str | None = None,
    buckets: Sequence[int] | None = None,
    max_context: int | None = None,
    prefill_chunk: int | None = None,
    decoder_chunks: int = 1,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    overwrite: bool = False,
    progress: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Manifest:
    """Export a Qwen2-VL checkpoint into the new folder `output`, as `pocketvl export` does.

    model: a hub id, a folder or "tiny". target: "executorch", "coreml" or "onnx". recipe: one of
    pocketvl.quant.recipe.NAMED_RECIPES or a .toml file. method: how integers are chosen, "gptq", "hqq" or
    "rtn", instead of the recipe's. calibration: a folder of images, a .jsonl file or "generated"; without it
    a recipe that would be calibrated is rounded, and `warn` told so, unless the model is "tiny".
    lora: folders of PEFT adapters. revision: of a hub id. buckets: numbers of patches, ascending.
    decoder_chunks: packages that a Core ML decoder is split into. min_pixels and max_pixels replace the
    checkpoint's image limits. overwrite replaces an existing bundle once the new one is complete.
    progress is called with the step that begins and the share of the time that is spent, 0..1; warn with
    sentences for the user. What is left out is as the command line has it.

    Returns what manifest.json says. Raises UsageError, CheckpointError, RecipeError, CalibrationError,
    ExportError.
    """
    given = {
        "buckets": None if buckets is None else tuple(buckets),
        "max_context": max_context,
        "prefill_chunk": prefill_chunk,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    data = None if calibration is None else str(calibration)
    chosen = load_recipe(str(recipe), method).with_calibration(data, calibration_samples)
    return pipeline.export_bundle(
        str(model),
        Path(output),
        target=target_for(target),
        recipe=chosen,
        settings=ExportSettings(decoder_chunks=decoder_chunks, **settings),  # type: ignore[arg-type]
        revision=revision,
        lora=[Path(folder) for folder in lora],
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        overwrite=overwrite,
        command="pocketvl.export.export_bundle",
        progress=progress or silent,
        warn=warn or _unheard,
    )


def _unheard(_: str) -> None:
    """For callers that want no notes."""
