"""`pocketvl inspect`: what is in a bundle."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pocketvl.cli.console import megabytes, out, print_json
from pocketvl.runtime.bundle import open_bundle
from pocketvl.runtime.engines import check_artifacts
from pocketvl.runtime.manifest import Manifest, TensorSpec
from pocketvl.runtime.strict import to_json


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Folder that `pocketvl export` wrote.")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare the hash of every file, too, and look into graphs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show a bundle's sizes by component and bits, its buckets, entry points and origin."""
    opened = open_bundle(bundle, check_hashes=check)
    if check:
        check_artifacts(opened)
    manifest = opened.manifest
    if as_json:
        print_json({"checked_hashes": check, **to_json(manifest)})
        return
    out.print(f"[bold]{bundle.name}[/]  {_headline(manifest)}")
    out.print(_layers(manifest))
    out.print(_files(manifest))
    out.print(_entry_points(manifest))
    text = manifest.geometry.text
    out.print(
        f"decoder {text.num_layers} x {text.hidden_size}, vision {manifest.geometry.vision.depth} x"
        f" {manifest.geometry.vision.hidden_size}, vocabulary {text.vocab_size:,}, context"
        f" {manifest.max_context}, prefill chunk {manifest.prefill_chunk}"
    )
    area = manifest.geometry.vision.merge_area
    out.print("buckets " + ", ".join(f"{b} patches = {b // area} tokens" for b in manifest.buckets))
    provenance = manifest.provenance
    out.print(f"from {provenance.source} (sha256 {provenance.source_sha256[:16]}...)")
    if provenance.calibration_sha256 is not None:
        digest = provenance.calibration_sha256[:16]
        out.print(f"calibrated on {provenance.calibration} (sha256 {digest}...)")
    out.print("hashes checked, all equal" if check else "sizes checked; --check compares hashes, too")


def _headline(manifest: Manifest) -> str:
    total = sum(record.size for record in manifest.files)
    kind = "chat" if manifest.chat else "base model"
    return (
        f"target {manifest.target}, recipe {manifest.recipe} ({manifest.quantization_method}), {kind},"
        f" {megabytes(total)}"
    )


def _layers(manifest: Manifest) -> Table:
    table = Table("component", "bits", "group", "layers", "parameters", "size", title="weights")
    for column in table.columns[1:]:
        column.justify = "right"
    for group in manifest.layers:
        table.add_row(
            group.component,
            str(group.bits),
            str(group.group_size or "-"),
            str(group.layers),
            f"{group.parameters:,}",
            megabytes(group.bytes),
        )
    return table


def _files(manifest: Manifest) -> Table:
    table = Table("file", "size", "sha256", title="files")
    table.columns[1].justify = "right"
    for record in manifest.files:
        table.add_row(record.path, megabytes(record.size), record.sha256[:16])
    return table


def _entry_points(manifest: Manifest) -> Table:
    table = Table("method", "file", "inputs", "outputs", title="entry points")
    for entry in manifest.entry_points:
        table.add_row(entry.method, entry.file, _tensors(entry.inputs), _tensors(entry.outputs))
    return table


def _tensors(specs: Sequence[TensorSpec]) -> str:
    """A line each; those that differ by their number alone, as the layers' caches do, share one."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for spec in specs:
        shape = ", ".join(map(str, spec.shape))
        alike.setdefault((re.sub(r"\d+", "*", spec.name), f"{spec.dtype} ({shape})"), []).append(spec.name)
    return "\n".join(
        f"{names[0] if len(names) == 1 else f'{pattern} ({len(names)} times)'} {kind}"
        for (pattern, kind), names in alike.items()
    )
