"""`pocketvl bench`: speed, memory and size of a bundle, or which of several is faster here."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, out, print_json, progress_bar


def bench(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            help="Folder that `pocketvl export` wrote; of several, say which is faster.", show_default=False
        ),
    ],
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Under a minute: one size of image, and fewer runs."),
    ] = False,
    decode_tokens: Annotated[
        int | None, typer.Option(help="Decode steps to time.  [default: 64, quick 16]", min=2)
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Runs of each stage, of which the best counts; rounds, with several bundles."
            "  [default: 3, quick 1 run or 2 rounds]",
            min=1,
        ),
    ] = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Time vision, prefill, decode, loading and one whole question; measure memory and size. Several bundles
    are timed by turns and compared."""
    if len(bundles) == 1:
        _one(bundles[0], quick, decode_tokens, repeats, as_json, threads)
    else:
        _several(bundles, quick, decode_tokens, repeats, as_json, threads)


def _one(
    bundle: Path,
    quick: bool,
    decode_tokens: int | None,
    repeats: int | None,
    as_json: bool,
    threads: int | None,
) -> None:
    from pocketvl.evaluate.bench import bench_bundle

    with progress_bar(f"bench {bundle}") as progress:
        result = bench_bundle(
            bundle,
            threads=threads,
            quick=quick,
            decode_tokens=decode_tokens,
            repeats=repeats,
            progress=progress,
        )
    if as_json:
        print_json({**dataclasses.asdict(result), "bandwidth_share": result.bandwidth_share})
        return
    table = Table(
        "",
        "",
        title=escape(f"{bundle.name}: recipe {result.recipe}, {result.threads} threads"),
        show_header=False,
    )
    table.columns[1].justify = "right"
    table.add_row("size on disk", megabytes(result.bundle_bytes))
    table.add_row("load vision / decoder", f"{result.vision_load:.2f} s / {result.decoder_load:.2f} s")
    for vision in result.vision:
        table.add_row(f"vision, {vision.patches} patches = {vision.tokens} tokens", f"{vision.seconds:.3f} s")
    table.add_row(f"prefill, {result.prefill_tokens} tokens", f"{result.prefill_rate:.1f} tok/s")
    table.add_row("decode, median / best", f"{result.decode_rate:.1f} / {result.decode_rate_best:.1f} tok/s")
    table.add_row("decoder weights read per token", megabytes(result.decoder_bytes))
    table.add_row("memory bandwidth, streaming read", f"{result.bandwidth / 1e9:.1f} GB/s")
    table.add_row("decode's share of it", f"{result.bandwidth_share:.0%}")
    table.add_row(
        "448x448 question: first token / whole process",
        f"{result.time_to_first_token:.2f} s / {result.question_seconds:.2f} s",
    )
    table.add_row("448x448 question: peak RSS", megabytes(result.peak_rss))
    out.print(table)


def _several(
    bundles: list[Path],
    quick: bool,
    decode_tokens: int | None,
    rounds: int | None,
    as_json: bool,
    threads: int | None,
) -> None:
    from pocketvl.evaluate.speed.comparison import SpeedComparison, compare_speed

    with progress_bar("bench") as progress:
        result: SpeedComparison = compare_speed(
            bundles,
            threads=threads,
            quick=quick,
            decode_tokens=decode_tokens,
            rounds=rounds,
            progress=progress,
        )
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    names = _names(bundles)
    heads = [f"{name}\n{each.target} {each.recipe}" for name, each in zip(names, result.bundles, strict=True)]
    table = Table(
        "", *map(escape, heads), title=f"by turns, {result.rounds} rounds, {result.threads} threads"
    )
    patches = " / ".join(map(str, dict.fromkeys(result.vision_patches)))
    labels = {
        "vision": (f"vision, {patches} patches", "img/s"),
        "prefill": ("prefill", "tok/s"),
        "decode": ("decode", "tok/s"),
    }
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in result.stages:
        label, unit = labels[stage.stage]
        cells = [f"{rate:.{2 if unit == 'img/s' else 1}f} {unit}" for rate in stage.rates]
        for index, (median, least, most) in enumerate(stage.shares[1:], start=1):
            cells[index] += f"\n{median:.2f} ({least:.2f} .. {most:.2f})"
        table.add_row(label, *cells)
    out.print(table)
    out.print(escape(f"In brackets: the rate over that of {names[0]} in the same round, least and most."))
    for stage in result.stages:
        if stage.fastest is None:
            said = "none was the fastest in every round; this machine shows no difference"
        else:
            said = f"{names[stage.fastest]} was the fastest in every round"
        out.print(escape(f"{stage.stage}: {said}"), soft_wrap=True)


def _names(bundles: list[Path]) -> list[str]:
    """The folders' names, or the paths where two have the same."""
    names = [bundle.resolve().name for bundle in bundles]
    return names if len(set(names)) == len(names) else [str(bundle) for bundle in bundles]
