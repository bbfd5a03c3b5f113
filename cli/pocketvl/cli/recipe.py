"""`pocketvl recipe`: bits of every layer, chosen for a size or for a KL divergence."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, note, out, print_json, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.cli.targets import chosen_targets, exporters_for
from pocketvl.runtime.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from pocketvl.export.component import ExportSettings
    from pocketvl.export.sensitivity.plan import Goal, Plan
    from pocketvl.quant.allocate import Option
    from pocketvl.quant.recipe import Bits

SizeBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Bits chosen a layer so that weights and scales of all components fit into SIZE: 1.2GB, 800MB or"
        " bytes, in powers of 1000. Norms, biases, graphs and tokenizer come on top (some MB).",
    ),
]
MaxKL = Annotated[
    float | None,
    typer.Option(
        "--max-kl",
        metavar="NATS",
        help="The smallest recipe with at most this predicted KL divergence a token.",
    ),
]
Lora = Annotated[list[Path] | None, typer.Option(help="PEFT adapter folder to merge in; may be repeated.")]
MinPixels = Annotated[
    int | None, typer.Option(help="Scale smaller pictures up.  [default: the checkpoint's]", min=1)
]
MaxPixels = Annotated[
    int | None, typer.Option(help="Scale larger pictures down.  [default: the largest bucket]", min=1)
]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a hub id.  [default: its main branch]")
]
METHOD = "gptq"  # of a recipe of mixed bits, unless another is asked for
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def recipe(
    model: Annotated[str, typer.Argument(help="Hub id, local folder, or `tiny`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .toml file to write.")],
    size_budget: SizeBudget = None,
    max_kl: MaxKL = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How integers are chosen: gptq, hqq, rtn.  [default: gptq where there is data, else rtn]"
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="What is measured on: a folder of pictures, a .jsonl file, generated.  [default: generated]"
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None, typer.Option(help="How many of them, and of what gptq looks at.  [default: 128]", min=1)
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="executorch, coreml or onnx: whose bytes the budget counts, the most of several."
            "  [default: executorch]"
        ),
    ] = None,
    revision: Revision = None,
    lora: Lora = None,
    min_pixels: MinPixels = None,
    max_pixels: MaxPixels = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: options.Json = False,
) -> None:
    """Measure which layers suffer from fewer bits, and write a recipe that spends bytes where they count."""
    output = Path(os.path.expanduser(output))  # noqa: PTH111  Path.expanduser fails for an unknown user
    if output.suffix != ".toml":
        raise UsageError(f"{output} must end in .toml, by which `pocketvl export --recipe` knows a file.")
    check_free(output, overwrite)
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{output.parent} is no folder that can be written to; choose another place.")
    goal = make_goal(size_budget, max_kl)
    if goal is None:
        raise UsageError("Say how large the weights may be with --size-budget, or how far off with --max-kl.")
    plan = make_plan(
        model,
        goal,
        method,
        calibration,
        calibration_samples,
        targets=chosen_targets(target),
        revision=revision,
        lora=lora or (),
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    write_recipe(plan, output)
    if as_json:
        print_json(_summary(plan, output))
        return
    out.print(_table(plan))
    out.print(describe(plan), soft_wrap=True)
    out.print(f"recipe: {output}", soft_wrap=True)


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
            method=method or METHOD,
            calibration=Calibration(calibration, samples),
            settings=settings or ExportSettings(),
            revision=revision,
            lora=lora,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            stored=[exporters_for(target).stored for target in targets],
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
            f"{asked} needs data: add --calibration FOLDER (images), FILE.jsonl (images and prompts) or"
            " `generated` (simple shapes), or leave it out to round to nearest."
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
    return f"predicted KL: {plan.kl:.2g} nats a token{'' if plan.measured else ', roughly'}"


def _by_bits(plan: "Plan") -> "dict[Bits, list[Option]]":
    """Fewest bits first."""
    groups: dict[Bits, list[Option]] = {}
    for option in plan.chosen.values():
        groups.setdefault(option.bits, []).append(option)
    return dict(sorted(groups.items(), key=lambda item: (item[0].bits, -(item[0].group_size or 0))))


def _table(plan: "Plan") -> Table:
    table = Table(
        "bits", "layers", "size", "share of KL", title=f"{plan.recipe.name}: {megabytes(plan.size)}"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for bits, chosen in _by_bits(plan).items():
        damage = sum(option.damage for option in chosen)
        table.add_row(
            str(bits.bits) if bits.group_size is None else f"{bits.bits}, groups of {bits.group_size}",
            str(len(chosen)),
            megabytes(sum(option.size for option in chosen)),
            f"{damage / plan.kl:.1%}" if plan.kl else "-",
        )
    return table


def _summary(plan: "Plan", output: Path) -> dict[str, Any]:
    return {
        "recipe": str(output),
        "name": plan.recipe.name,
        "method": plan.recipe.method,
        "size": plan.size,
        "predicted_kl": plan.kl,
        "measured": plan.measured,
        "layers": {
            layer: {**asdict(option.bits), "size": option.size, "predicted_kl": option.damage}
            for layer, option in plan.chosen.items()
        },
    }
