"""What calibration recovers of what rounding loses, on the tiny model, as ExecuTorch runs it.

    python benchmarks/calibrated_tiny.py [--examples 1000] [--work work/calibrated-tiny] [--seeds 0 1 2]

Exports the tiny model with 4 bits everywhere (recipe int4-small) by rounding and by GPTQ with three seeds of
calibration data, and over the general set that comes with pocketvl, and asks all of them and the float bundle
the same held-out questions. Resumes. Two processes take some half an hour for 1000 examples a task.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pocketvl.evaluate.summary import ALL
from pocketvl.quant.recipe import GENERAL, named_recipe
from pocketvl.quant.recipe_file import recipe_toml

FIRST = 200_000  # held-out images that nothing else asks about


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=1000, help="per task")
    parser.add_argument("--work", type=Path, default=Path("work/calibrated-tiny"))
    parser.add_argument("--fidelity", type=int, default=100, help="examples a task whose KL is measured")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the calibration data")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    names = ["fp32", "rtn", *(f"gptq-{seed}" for seed in options.seeds), GENERAL]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda name: export(name, options.work), names))
        scores = list(pool.map(lambda name: accuracy(name, options.work, options.examples), names))
        # The first keeps the float bundle's outputs for the others.
        first = divergence(names[1], options.work, options.fidelity)
        rest = pool.map(lambda name: divergence(name, options.work, options.fidelity), names[2:])
        kl = [0.0, first, *rest]
    print_table([Row(*row) for row in zip(names, scores, kl, strict=True)])


def export(name: str, work: Path) -> None:
    """Export one bundle unless it is there."""
    bundle = work / name
    if bundle.exists():
        return
    recipe = "fp32"
    if name != "fp32":
        method, _, seed = name.partition("-")
        if name == GENERAL:
            chosen = named_recipe("int4-small", "gptq").with_calibration(GENERAL, None)
        else:
            chosen = named_recipe("int4-small", method)
        if seed:
            data = dataclasses.replace(chosen.calibration, seed=int(seed))
            chosen = dataclasses.replace(chosen, calibration=data)
        path = work / f"{name}.toml"
        path.write_text(recipe_toml(chosen), encoding="utf-8")
        recipe = str(path)
    shapes = ["--buckets", "256,576", "--max-context", "1024"]
    pocketvl("export", "tiny", "-o", str(bundle), "--recipe", recipe, *shapes)


def accuracy(name: str, work: Path, examples: int) -> dict[str, float]:
    """Mean score a task; answers are kept and not asked again."""
    report = evaluate(name, work, examples)
    return {task["task"]: task["score"]["mean"] for task in report["tasks"] if task["task"] != ALL}


def divergence(name: str, work: Path, examples: int) -> float:
    """Mean KL from the float bundle, in nats per token."""
    against = ["--against", str(work / "fp32"), "--reference-folder", str(work / "reference")]
    return float(evaluate(name, work, examples, *against)["fidelity"]["kl_mean"])


def evaluate(name: str, work: Path, examples: int, *options: str) -> dict[str, Any]:
    words = ["evaluate", str(work / name), "--data", f"generated:{examples}@{FIRST}", "--threads", "1"]
    words += ["-o", str(work / f"{name}-{examples}-results"), "--max-tokens", "32", "--json", *options]
    (report,) = json.loads(pocketvl(*words))["datasets"]
    return dict(report)


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    scores: dict[str, float]
    kl: float

    @property
    def mean(self) -> float:
        return sum(self.scores.values()) / len(self.scores)


def print_table(rows: list[Row]) -> None:
    """Markdown; "recovered" is the share of what the second row, rounding, lost to the first."""
    heads = ["", *rows[0].scores, "mean", "KL mean", "recovered: accuracy", "KL"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        recovered = ["", ""]
        if row not in rows[:2]:
            lost = rows[0].mean - rows[1].mean
            back = (row.mean - rows[1].mean) / lost if lost else float("nan")
            recovered = [f"{back:.0%}", f"{1 - row.kl / rows[1].kl:.0%}"]
        scores = [f"{score:.3f}" for score in row.scores.values()]
        print("| " + " | ".join([row.name, *scores, f"{row.mean:.4f}", f"{row.kl:.5f}", *recovered]) + " |")


def pocketvl(*words: str) -> str:
    program = "from pocketvl.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"pocketvl {' '.join(words)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
