"""`pocketvl demo`: export the shipped tiny model, ask it about images, show what it said."""

import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, note, out, progress_bar
from pocketvl.cli.extras import needs_extra
from pocketvl.runtime import load, names

if TYPE_CHECKING:
    from pocketvl.export.tiny import Example
    from pocketvl.runtime.chat.session import ChatSession

DEMO_EXAMPLES = 2  # of each task
_SAMPLES = 48  # to calibrate on: more make no difference to the answers
_SECONDS = {names.ONNX: 20, names.COREML: 25, names.EXECUTORCH: 55}  # that exporting takes two cores
_NEEDS = "The demo exports a model, which"


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the bundle and the images.")
    ] = Path("demo-output"),
    recipe: Annotated[
        str, typer.Option(help="fp32, int8, int4, int4-small, int4-fast or a .toml file.")
    ] = "int4",
    target: Annotated[
        str | None,
        typer.Option(
            help="executorch, coreml or onnx.  [default: onnx, the quickest to export, where it is installed;"
            " else executorch]"
        ),
    ] = None,
    first: Annotated[int, typer.Option(help="Number of the first example; others show others.", min=0)] = 0,
    threads: options.Threads = None,
) -> None:
    """Export the tiny model, ask it about freshly drawn images, and print right and given answers.

    Takes about 25 seconds on two cores, most of it the export; with --target executorch a minute.
    """
    with needs_extra("export", _NEEDS):
        from pocketvl.evaluate.contact_sheet import contact_sheet
        from pocketvl.export.bundle.writer import output_folder
        from pocketvl.export.tiny import TASKS, make_example

        chosen_target = target or _quickest_target()
    output = output_folder(output)
    bundle = _export(output, recipe, chosen_target)
    examples = [make_example(task, first + i) for task in TASKS for i in range(DEMO_EXAMPLES)]
    note(f"2. asking it about {len(examples)} images that it has never seen")
    table = Table("question", title="greedy answers")
    for column in ("expected", "answer", "", "time"):
        table.add_column(column, no_wrap=True)  # a box is read whole or not at all
    cells, right = [], 0
    with load(bundle, threads=threads) as model:
        session = model.chat(keep_vision=True)
        for example in examples:
            began = time.perf_counter()
            text = _ask(session, example)
            seconds = time.perf_counter() - began
            mark, good = _mark(example, text)
            right += good
            table.add_row(
                escape(example.question),
                escape(example.answer),
                escape(text),
                f"[{'green' if good else 'red'}]{mark}[/]",
                f"{seconds * 1000:.0f} ms",
            )
            cells.append((example.images, example.question, text, good))
    out.print(table)
    sheet = output / "contact-sheet.png"
    contact_sheet(cells).save(sheet)
    out.print(f"{right} of {len(examples)} right; the images with the answers: {sheet}", soft_wrap=True)
    out.print(f"ask your own: pocketvl chat {bundle}", soft_wrap=True)
    if right < len(examples) // 2:
        sys.exit(1)


def _quickest_target() -> str:
    """onnx takes a third of executorch's time."""
    installed = all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))
    return names.ONNX if installed else names.EXECUTORCH


def _export(output: Path, recipe: str, target: str) -> Path:
    with needs_extra("export", _NEEDS):
        from pocketvl.export.component import ExportSettings
        from pocketvl.export.pipeline import export_bundle
        from pocketvl.export.targets import target_for
        from pocketvl.quant.recipe_file import load_recipe

        writer = target_for(target)
    chosen = load_recipe(recipe)
    if chosen.calibrated and not recipe.endswith(".toml"):
        chosen = chosen.with_calibration(None, _SAMPLES)
    bundle = output / f"tiny-{chosen.name}"
    seconds = _SECONDS[target]
    note(f"1. exporting the tiny Qwen2-VL (recipe {chosen.name}, {target}) to {bundle}: about {seconds} s")
    began = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    with progress_bar("export tiny") as progress:
        manifest = export_bundle(
            "tiny",
            bundle,
            target=writer,
            recipe=chosen,
            settings=ExportSettings(buckets=(256, 576), max_context=1024),
            overwrite=True,
            command=shlex.join(["pocketvl", "demo", "--recipe", Path(recipe).name, "--target", target]),
            progress=progress,
        )
    size = sum(record.size for record in manifest.files)
    note(f"   {megabytes(size)} in {time.perf_counter() - began:.1f} s")
    return bundle


def _ask(session: "ChatSession", example: "Example") -> str:
    from pocketvl.runtime.decoding.sampling import Sampler

    session.reset()
    images = [{"type": "image", "image": image} for image in example.images]
    question = {"type": "text", "text": example.question}
    return session.ask([*images, question], max_tokens=32, sampler=Sampler()).text


def _mark(example: "Example", text: str) -> tuple[str, bool]:
    from pocketvl.export.tiny import score

    value = score(example, text)
    if example.box:
        return f"IoU {value:.2f}", value >= 0.5
    return ("right", True) if value >= 1.0 else ("wrong", False)
