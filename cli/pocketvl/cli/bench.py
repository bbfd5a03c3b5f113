"""`pocketvl bench`: speed, memory and size of a bundle."""

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, out, print_json, progress_bar


def bench(
    bundle: options.BundleArgument,
    decode_tokens: Annotated[int, typer.Option(help="Decode steps to time.", min=2)] = 64,
    repeats: Annotated[int, typer.Option(help="Runs of each stage; the best counts.", min=1)] = 3,
    as_json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Time vision per bucket, prefill, decode, loading and one whole question; measure memory and size."""
    from pocketvl.evaluate.bench import bench_bundle

    with progress_bar(f"bench {bundle}") as progress:
        result = bench_bundle(
            bundle, threads=threads, decode_tokens=decode_tokens, repeats=repeats, progress=progress
        )
    if as_json:
        print_json({**dataclasses.asdict(result), "bandwidth_share": result.bandwidth_share})
        return
    table = Table(
        "", "", title=f"{bundle.name}: recipe {result.recipe}, {result.threads} threads", show_header=False
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
