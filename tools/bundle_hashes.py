"""Exports small models for every target and recipe, and lists the sha256 of every file.

    python -m tools.bundle_hashes before.json                      # at one commit
    python -m tools.bundle_hashes after.json --against before.json # at another: what changed, exit status 1

A change that is not meant to alter artifacts must leave every line equal. manifest.json is compared without
its command line; everything else byte for byte. Cases take some ten seconds each; --only picks some.
"""

import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pocketvl.cli.main import main as pocketvl
from tests.support.adapters import write_adapter
from tests.support.checkpoints import write_checkpoint
from tests.support.packed_checkpoints import Scheme, write_packed_checkpoint

TARGETS = ("executorch", "onnx", "coreml")
RTN = ("--method", "rtn")
SMALL = ("--buckets", "16,64", "--max-context", "320", "--prefill-chunk", "32")
CALIBRATED = ("--calibration", "generated", "--calibration-samples", "8")


def cases(folder: Path) -> dict[str, list[str]]:
    """Name -> arguments of `pocketvl export`, checkpoints included, which are written into the folder."""
    write_checkpoint(folder / "small")
    write_checkpoint(folder / "untied", tied=False)
    write_packed_checkpoint(folder / "packed", Scheme(zero=8))
    write_packed_checkpoint(folder / "zeros", Scheme(method="awq"))
    write_adapter(folder / "adapter")
    recipes = {"fp32": (), "fp16": (), "int8": (), "int4": RTN, "int4-fast": RTN, "int4-small": RTN}
    found: dict[str, list[str]] = {}
    for target in TARGETS:
        found[f"tiny-{target}"] = ["tiny", "--recipe", "int4", *RTN, *SMALL]
        for recipe, method in recipes.items():
            if (target, recipe) != ("executorch", "fp16"):
                found[f"{recipe}-{target}"] = [f"{folder}/small", "--recipe", recipe, *method, *SMALL]
        found[f"untied-{target}"] = [f"{folder}/untied", "--recipe", "int4", *RTN, *SMALL]
        found[f"packed-{target}"] = [
            *(f"{folder}/packed", "--recipe", "int4", *RTN, *SMALL),
            *("--lora", f"{folder}/adapter"),
        ]
    found["zeros-executorch"] = [f"{folder}/zeros", "--recipe", "int4", *RTN, *SMALL]
    found["untied-fp32-onnx"] = [f"{folder}/untied", "--recipe", "fp32", *SMALL]
    for target in ("executorch", "onnx"):
        found[f"calibrated-{target}"] = [f"{folder}/small", "--recipe", "int4-small", *SMALL, *CALIBRATED]
    found["packed-calibrated-executorch"] = [f"{folder}/packed", "--recipe", "int4", *SMALL, *CALIBRATED]
    found["chunks-coreml"] = [f"{folder}/small", "--recipe", "int4", *RTN, *SMALL, "--decoder-packages", "2"]
    found["buckets-executorch"] = [
        f"{folder}/small",
        "--recipe",
        "int8",
        *SMALL,
        "--vision-shapes",
        "buckets",
    ]
    return {name: [*words, "--target", name.rpartition("-")[2]] for name, words in found.items()}


def hashes(bundle: Path) -> dict[str, str]:
    """Path in the bundle -> sha256."""
    found = {}
    for path in sorted(bundle.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "manifest.sha256":
                continue  # of a command line, too
            if path.name == "manifest.json":
                manifest = json.loads(data)
                del manifest["provenance"]["command"]
                data = json.dumps(manifest).encode()
            found[path.relative_to(bundle).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def run(
    output: Path,
    against: Annotated[Path | None, typer.Option(help="What an earlier run wrote.")] = None,
    only: Annotated[str, typer.Option(help="Regular expression of the cases to run.")] = "",
) -> None:
    """Write OUTPUT: case -> file -> sha256."""
    before = {} if against is None else json.loads(against.read_text())
    found: dict[str, dict[str, str]] = {}
    changed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, words in cases(folder).items():
            if re.search(only, case):
                bundle = folder / "bundle" / case
                try:
                    pocketvl(["export", *words, "-o", str(bundle)])
                except SystemExit as end:
                    if end.code:
                        print(f"{case} failed", file=sys.stderr)
                found[case] = hashes(bundle)
                output.write_text(json.dumps(found, indent=1))
                own = before.get(case, {})
                if before and own != found[case]:
                    changed.append(case)
                    files = {file for file in own | found[case] if own.get(file) != found[case].get(file)}
                    print(f"{case}: {', '.join(sorted(files))} differ", file=sys.stderr)
    if changed:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(run)
