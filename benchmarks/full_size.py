"""Export and measure the full-size model, and print the table that the README shows.

    python benchmarks/full_size.py             random weights of the real geometry, in work/full-size
    python benchmarks/full_size.py --model Qwen/Qwen2-VL-2B-Instruct --recipe int4
    python benchmarks/full_size.py --target onnx

Speed, size and memory do not depend on what the weights are. The random checkpoint needs a folder with the
family's tokenizer.json (see make_checkpoint.py); without one the run is skipped, with a sentence.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvl.quant.recipe import NAMED_RECIPES

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_WORK = ROOT / "work" / "full-size"
RECIPES = ("int4", "int4-small")
TARGETS = ("executorch", "onnx")  # whose runtimes run here at their own speed


@dataclass(frozen=True)
class ExportCost:
    seconds: float
    peak_rss: int  # bytes, of the process and those that it waited for


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="hub id or folder; a random checkpoint is made if not given")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--recipe", action="append", choices=[*NAMED_RECIPES])
    parser.add_argument("--target", choices=TARGETS, default=TARGETS[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", action="store_true", help="use bundles of an earlier run")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    model = options.model or random_checkpoint(options.work)
    results = {}
    for recipe in options.recipe or RECIPES:
        bundle = options.work / (recipe if options.target == TARGETS[0] else f"{options.target}-{recipe}")
        cost = None if options.keep and bundle.exists() else export(model, bundle, recipe, options.target)
        bench = json.loads(pocketvl("bench", bundle, "--json", "--threads", options.threads))
        results[recipe] = {"export": cost and dataclasses.asdict(cost), "bench": bench}
    (options.work / f"results-{options.target}.json").write_text(json.dumps(results, indent=1))
    print(table(results))


def random_checkpoint(work: Path) -> str:
    folder = work / "checkpoint"
    if not (folder / "config.json").exists():
        script = Path(__file__).with_name("make_checkpoint.py")
        made = subprocess.run([sys.executable, script, folder], check=False)
        if made.returncode != 0:
            print("skipped: no checkpoint to measure (see the message above)")
            sys.exit(0)
    return str(folder)


def export(model: str, bundle: Path, recipe: str, target: str) -> ExportCost:
    """Export in a process of its own and measure it. Calibrated integers would run just as fast."""
    began = time.perf_counter()
    arguments = ["export", model, "-o", str(bundle), "--target", target, "--recipe", recipe]
    arguments += ["--method", "rtn", "--overwrite"]
    child = subprocess.Popen([sys.executable, "-m", "pocketvl.cli", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(1)
    unit = 1 if sys.platform == "darwin" else 1024
    return ExportCost(time.perf_counter() - began, usage.ru_maxrss * unit)


def pocketvl(*arguments: object) -> str:
    command = [sys.executable, "-m", "pocketvl.cli", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(results: dict[str, Any]) -> str:
    """Markdown, a column a recipe."""
    rows = {
        "bundle": lambda r: f"{r['bench']['bundle_bytes'] / 1e6:,.0f} MB",
        "export time": lambda r: f"{r['export']['seconds']:.0f} s" if r["export"] else "-",
        "export peak RSS": lambda r: f"{r['export']['peak_rss'] / 1e9:.2f} GB" if r["export"] else "-",
        "vision 1024 patches": lambda r: f"{_vision(r, 1024):.2f} s",
        "vision 4096 patches": lambda r: f"{_vision(r, 4096):.1f} s",
        "prefill": lambda r: f"{r['bench']['prefill_rate']:.0f} tok/s",
        "decode, median": lambda r: f"{r['bench']['decode_rate']:.1f} tok/s",
        "decode, best": lambda r: f"{r['bench']['decode_rate_best']:.1f} tok/s",
        "streaming read in the same run": lambda r: f"{r['bench']['bandwidth'] / 1e9:.1f} GB/s",
        "decode as a share of it": lambda r: f"{r['bench']['bandwidth_share']:.0%}",
        "load vision / decoder": lambda r: (
            f"{r['bench']['vision_load']:.1f} / {r['bench']['decoder_load']:.1f} s"
        ),
        "448x448 question, first token": lambda r: f"{r['bench']['time_to_first_token']:.1f} s",
        "448x448 question, peak RSS": lambda r: f"{r['bench']['peak_rss'] / 1e9:.2f} GB",
    }
    lines = ["| |" + "".join(f" {recipe} |" for recipe in results), "|---|" + "---|" * len(results)]
    lines += [
        f"| {name} |" + "".join(f" {cell(r)} |" for r in results.values()) for name, cell in rows.items()
    ]
    return "\n".join(lines)


def _vision(result: dict[str, Any], patches: int) -> float:
    return next(v["seconds"] for v in result["bench"]["vision"] if v["patches"] == patches)


if __name__ == "__main__":
    main()
