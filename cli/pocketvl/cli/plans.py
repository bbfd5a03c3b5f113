"""Bits chosen per layer for a size or a KL divergence: what `recipe` and the goals of `export` share."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketvl.cli.console import note, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.runtime.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from pocketvl.export.component import ExportSettings
    from pocketvl.export.sensitivity.plan import Goal, Plan

_METHOD = "gptq"  # of a recipe of mixed bits, unless another is asked for
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def make_goal(size_budget: str | None, max_kl: float | None) -> "Goal | None":
    """None if neither is given. Raises UsageError, RecipeError, MissingExtraError."""
    if size_budget is not None and max_kl is not None:
        raise UsageError("--size-budget and --max-kl are two goals; leave one of them out.")
    if size_budget is None and max_kl is None:
        return None
    with needs_extra("export", "Measuring"):
        from pocketvl.export.sensitivity.plan import MaxKL, SizeBudget
    if size_budget is not None:
        return SizeBudget(parse_size(size_budget), f"mixed-{size_budget.replace(' ', '')}")
    assert max_kl is not None
    return MaxKL(max_kl, f"mixed-kl-{max_kl:g}")


def parse_size(text: str) -> int:
    """ "1.2GB" -> 1200000000. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--size-budget {text!r} must be a size such as 1.2GB, 800MB or 3100000.")
    return round(float(found[1]) * _UNITS[(found[2] or "").upper()])


def make_plan(
    model: str,
    goal: "Goal",
    method: str | None,
    calibration: str | None,
    calibration_samples: int | None,
    *,
    targets: Sequence[str],
    settings: "ExportSettings | None" = None,
    revision: str | None = None,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> "Plan":
    """Measure and choose, under a progress bar.

    targets: whose bytes a size budget counts, the most of several. settings: ExportSettings' defaults unless
    given.
    """
    from pocketvl.export.component import ExportSettings
    from pocketvl.export.sensitivity.plan import plan_recipe
    from pocketvl.export.targets import target_for
    from pocketvl.quant.recipe import Calibration

    check_data(model, method, calibration)
    samples = Calibration().samples if calibration_samples is None else calibration_samples
    if calibration is None and model != "tiny":
        note(
            "Measuring on generated images of simple shapes, and rounding to nearest; for a real model give"
            " images and prompts like those of its use with --calibration."
        )
    with progress_bar(f"measure {model}") as progress:
        plan = plan_recipe(
            model,
            goal,
            method=method or _METHOD,
            calibration=Calibration(calibration, samples),
            settings=settings or ExportSettings(),
            revision=revision,
            lora=lora,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            bytes_of=[target_for(target).bytes_of for target in targets],
            progress=progress,
        )
    if not plan.measured:
        note(
            "The model is too large to measure each layer by itself: which layers get more bits follows from"
            " the errors of their outputs, and the predicted KL divergence is a rough figure."
        )
    return plan


def check_data(model: str, method: str | None, calibration: str | None, samples: int | None = None) -> None:
    """Raise UsageError where calibration is asked for, by its method or samples, and there is no data."""
    from pocketvl.quant.recipe import CALIBRATED_METHODS

    if calibration is not None or model == "tiny":
        return
    asked = f"--method {method}" if method in CALIBRATED_METHODS else f"--calibration-samples {samples}"
    if method in CALIBRATED_METHODS or samples is not None:
        raise UsageError(
            f"{asked} needs data: add --calibration FOLDER (images), FILE.jsonl (images and prompts),"
            " `general` (texts and images of many kinds) or `generated` (simple shapes), or leave it out to"
            " round to nearest."
        )


def check_free(path: Path, overwrite: bool) -> None:
    """Raise UsageError if a file would be replaced that nobody said to replace, or none can be written."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; choose another name for the recipe.")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; choose another name or add --overwrite.")
    except OSError as error:
        raise UsageError(f"{path} cannot be used ({error.strerror}); choose another name.") from None


def write_recipe(plan: "Plan", path: Path) -> None:
    """Complete or not at all. Raises RecipeError if it cannot be written."""
    from pocketvl.quant.recipe_file import recipe_toml

    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(recipe_toml(plan.recipe), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RecipeError(f"{path} cannot be written ({error.strerror}); choose another place.") from None


def describe(plan: "Plan") -> str:
    """What it will cost, as a line."""
    return f"predicted KL: {plan.kl:.2g} nats per token{'' if plan.measured else ', roughly'}"
