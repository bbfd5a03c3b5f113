"""What calibration recovers of what rounding loses, on the tiny model, as ExecuTorch runs it.

    python benchmarks/calibrated_tiny.py [--examples 1000] [--work work/calibrated-tiny]

Exports the tiny model with 4 bits everywhere (recipe int4-small) by rounding and by GPTQ with three seeds of
calibration data, and asks all of them and the float bundle the same held-out questions. Resumes. Two
processes take some half an hour for 1000 examples a task.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pocketvl.evaluate.summary import ALL
from pocketvl.quant.recipe import named_recipe
from pocketvl.quant.recipe_file import recipe_toml

SEEDS = (0, 1, 2)
FIRST = 200_000  # held-out pictures that nothing else asks about


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=1000, help="per task")
    parser.add_argument("--work", type=Path, default=Path("work/calibrated-tiny"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    names = ["fp32", "rtn", *(f"gptq-{seed}" for seed in SEEDS)]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda name: export(name, options.work), names))
        reports = {"rtn": evaluate("rtn", options.work, options.examples)}  # keeps the reference's answers
        rest = names[2:]
        found = pool.map(lambda name: evaluate(name, options.work, options.examples), rest)
        reports |= dict(zip(rest, found, strict=True))
    print_table(reports)


def export(name: str, work: Path) -> None:
    """Export one bundle unless it is there."""
    bundle = work / name
    if bundle.exists():
        return
    recipe = "fp32"
    if name != "fp32":
        method, _, seed = name.partition("-")
        chosen = named_recipe("int4-small", method)
        if seed:
            data = dataclasses.replace(chosen.calibration, seed=int(seed))
            chosen = dataclasses.replace(chosen, calibration=data)
        path = work / f"{name}.toml"
        path.write_text(recipe_toml(chosen), encoding="utf-8")
        recipe = str(path)
    shapes = ["--buckets", "256,576", "--max-context", "1024"]
    pocketvl("export", "tiny", "-o", str(bundle), "--recipe", recipe, *shapes)


def evaluate(name: str, work: Path, examples: int) -> dict:
    """The report of `pocketvl evaluate` against the float bundle; answers are kept and not asked again."""
    words = ["evaluate", str(work / name), "--data", f"generated:{examples}@{FIRST}", "--threads", "1"]
    words += ["--against", str(work / "fp32"), "--reference-folder", str(work / "reference")]
    words += ["-o", str(work / f"{name}-results"), "--max-tokens", "32", "--json"]
    (report,) = json.loads(pocketvl(*words))["datasets"]
    report["tasks"] = [task for task in report["tasks"] if task["task"] != ALL]
    return report


def print_table(reports: dict[str, dict]) -> None:
    tasks = [task["task"] for task in reports["rtn"]["tasks"]]
    print("| | " + " | ".join([*tasks, "mean", "KL mean", "recovered: accuracy", "KL"]) + " |")
    print("|---" * (len(tasks) + 5) + "|")
    float_scores = [task["comparison"]["reference"]["mean"] for task in reports["rtn"]["tasks"]]
    print(row("fp32", float_scores, 0.0, ["", ""]))
    mean = sum(float_scores) / len(tasks)
    lost = mean - score(reports["rtn"]), reports["rtn"]["fidelity"]["kl_mean"]
    for name, report in reports.items():
        kept = mean - score(report), report["fidelity"]["kl_mean"]
        recovered = [f"{1 - now / then:.0%}" if then else "-" for now, then in zip(kept, lost, strict=True)]
        scores = [task["score"]["mean"] for task in report["tasks"]]
        print(row(name, scores, kept[1], recovered if name != "rtn" else ["", ""]))


def score(report: dict) -> float:
    return sum(task["score"]["mean"] for task in report["tasks"]) / len(report["tasks"])


def row(name: str, scores: list[float], divergence: float, recovered: list[str]) -> str:
    cells = [*(f"{value:.3f}" for value in scores), f"{sum(scores) / len(scores):.4f}", f"{divergence:.5f}"]
    return f"| {name} | " + " | ".join([*cells, *recovered]) + " |"


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
