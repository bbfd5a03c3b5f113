"""`pocketvl recipe`: bits of every layer, chosen for a size or for a KL divergence."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, out, print_json
from pocketvl.cli.plans import check_free, describe, make_goal, make_plan, write_recipe
from pocketvl.cli.targets import chosen_targets
from pocketvl.runtime.errors import UsageError

if TYPE_CHECKING:
    from pocketvl.export.sensitivity.plan import Plan
    from pocketvl.quant.allocate import Option
    from pocketvl.quant.recipe import Precision


def recipe(
    model: options.ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .toml file to write.")],
    size_budget: options.SizeBudget = None,
    max_kl: options.MaxKL = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How integers are chosen: gptq, hqq, rtn.  [default: gptq where there is data, else rtn]"
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="What is measured on: a folder of images, a .jsonl file, generated.  [default: generated]"
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
    revision: options.Revision = None,
    lora: options.Lora = None,
    min_pixels: options.ExportMinPixels = None,
    max_pixels: options.ExportMaxPixels = None,
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


def _by_bits(plan: "Plan") -> "dict[Precision, list[Option]]":
    """Fewest bits first."""
    groups: dict[Precision, list[Option]] = {}
    for option in plan.chosen.values():
        groups.setdefault(option.precision, []).append(option)
    return dict(sorted(groups.items(), key=lambda item: (item[0].bits, -(item[0].group_size or 0))))


def _table(plan: "Plan") -> Table:
    table = Table(
        "bits", "layers", "size", "share of KL", title=f"{plan.recipe.name}: {megabytes(plan.size)}"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for precision, chosen in _by_bits(plan).items():
        kl_cost = sum(option.cost for option in chosen)
        table.add_row(
            str(precision.bits)
            if precision.group_size is None
            else f"{precision.bits}, groups of {precision.group_size}",
            str(len(chosen)),
            megabytes(sum(option.size for option in chosen)),
            f"{kl_cost / plan.kl:.1%}" if plan.kl else "-",
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
            layer: {**asdict(option.precision), "size": option.size, "predicted_kl": option.cost}
            for layer, option in plan.chosen.items()
        },
    }
