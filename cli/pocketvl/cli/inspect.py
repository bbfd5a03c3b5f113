"""`pocketvl inspect`: what is in a bundle."""

import os
import re
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pocketvl.cli import options
from pocketvl.cli.console import megabytes, out, print_json
from pocketvl.evaluate.speed.cpu import advice, cpu_features, kernels
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest, TensorSpec
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.bundle.strict import to_json
from pocketvl.runtime.engines.open import check_artifacts


def inspect(
    bundle: options.BundleArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the hashes of files, too, and look into graphs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show a bundle's sizes by component and bits, its buckets, entry points and origin."""
    opened = open_bundle(bundle, verify="always" if check else "never")
    if check:
        check_artifacts(opened)
    manifest = opened.manifest
    features = cpu_features()
    if as_json:
        state = {
            "checked_hashes": check,
            "missing_optional_files": _missing(opened),
            "cpu_features": sorted(features),
            "cpu_kernels": _kernels(manifest, features),
        }
        print_json({**state, **to_json(manifest)})
        return
    out.print(f"[bold]{escape(bundle.name)}[/]  {escape(_headline(manifest))}")
    out.print(_layers(manifest))
    out.print(_files(opened))
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
    commit = f", commit {provenance.source_revision}" if provenance.source_revision else ""
    out.print(escape(f"from {provenance.source}{commit} (sha256 {provenance.source_sha256[:16]}...)"))
    if provenance.calibration_sha256 is not None:
        digest = provenance.calibration_sha256[:16]
        out.print(escape(f"calibrated on {provenance.calibration} (sha256 {digest}...)"))
    for sentence in _on_this_cpu(manifest, features):
        out.print(escape(sentence), soft_wrap=True)
    if not check:
        out.print("sizes checked; --check compares hashes, too")
        return
    missing = _missing(opened)
    count = len(manifest.files) + len(manifest.optional_files) - len(missing)
    out.print(f"hashes of {names.MANIFEST_FILE} and {count} files checked, all equal")
    if missing:
        out.print(escape(f"missing, which only transformers.js needs: {', '.join(missing)}"))
    if unlisted := _unlisted(opened):
        out.print(escape(f"without a hash in the manifest: {', '.join(unlisted)}"))


def _headline(manifest: Manifest) -> str:
    total = sum(record.size for record in manifest.files)
    kind = "chat" if manifest.chat else "base model"
    return (
        f"target {manifest.target}, recipe {manifest.recipe} ({manifest.quantization_method}), {kind},"
        f" {megabytes(total)}"
    )


def _kernels(manifest: Manifest, features: frozenset[str]) -> str | None:
    """None where no layer is quantized, too."""
    quantized = any(group.bits in (4, 8) for group in manifest.layers)
    return kernels(manifest.target, features) if quantized else None


def _on_this_cpu(manifest: Manifest, features: frozenset[str]) -> list[str]:
    if not features:
        return []
    chosen = _kernels(manifest, features)
    run = f"; quantized layers run in {chosen}" if chosen else ""
    bits = frozenset(group.bits for group in manifest.layers if group.component == names.TEXT_DECODER)
    advised = advice(manifest.target, bits, features)
    return [f"this CPU has {', '.join(sorted(features))}{run}", *([advised] if advised else [])]


def _layers(manifest: Manifest) -> Table:
    table = Table("component", "bits", "group", "layers", "parameters", "size", title="weights")
    for column in table.columns[1:]:
        column.justify = "right"
    for group in manifest.layers:
        table.add_row(
            escape(group.component),
            str(group.bits),
            str(group.group_size or "-"),
            str(group.layers),
            f"{group.parameters:,}",
            megabytes(group.bytes),
        )
    return table


def _files(bundle: Bundle) -> Table:
    table = Table("file", "size", "sha256", title="files")
    table.columns[1].justify = "right"
    for record in bundle.manifest.files:
        table.add_row(escape(record.path), megabytes(record.size), escape(record.sha256[:16]))
    missing = _missing(bundle)
    for record in bundle.manifest.optional_files:
        state = "optional, missing" if record.path in missing else "optional"
        table.add_row(escape(f"{record.path} ({state})"), megabytes(record.size), escape(record.sha256[:16]))
    return table


def _missing(bundle: Bundle) -> list[str]:
    """Optional files that are not there."""
    records = bundle.manifest.optional_files
    return [record.path for record in records if not os.path.lexists(bundle.folder / record.path)]


def _unlisted(bundle: Bundle) -> list[str]:
    """Files in the folder of which the manifest says nothing."""
    manifest = bundle.manifest
    listed = {record.path for record in (*manifest.files, *manifest.optional_files)}
    present = (path for path in bundle.folder.rglob("*") if path.is_symlink() or not path.is_dir())
    own = {names.MANIFEST_FILE, names.MANIFEST_HASH_FILE}
    return sorted({path.relative_to(bundle.folder).as_posix() for path in present} - listed - own)


def _entry_points(manifest: Manifest) -> Table:
    table = Table("method", "file", "inputs", "outputs", title="entry points")
    for entry in manifest.entry_points:
        table.add_row(
            escape(entry.method), escape(entry.file), _tensors(entry.inputs), _tensors(entry.outputs)
        )
    return table


def _tensors(specs: Sequence[TensorSpec]) -> str:
    """A line each; those that differ by their number alone, as the layers' caches do, share one."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for spec in specs:
        shape = ", ".join(map(str, spec.shape))
        alike.setdefault((re.sub(r"\d+", "*", spec.name), f"{spec.dtype} ({shape})"), []).append(spec.name)
    return escape(
        "\n".join(
            f"{found[0] if len(found) == 1 else f'{pattern} ({len(found)} times)'} {kind}"
            for (pattern, kind), found in alike.items()
        )
    )
