"""How often Core ML packages of the tiny model answer as ExecuTorch does, from the same integers.

    python benchmarks/coreml_agreement.py [--examples 50] [--recipe int4 --recipe int8] [--work work/coreml]

Exports the tiny model for both targets by rounding, asks both bundles the same held-out questions, compares
the answers one by one and prints a table. Packages are evaluated in numpy. Resumes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TARGETS = ("executorch", "coreml")
FIRST = 200_000  # held-out images
MOST_TOKENS = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=50, help="per task")
    parser.add_argument("--recipe", action="append", help="default: int4 and int8")
    parser.add_argument("--work", type=Path, default=Path("work/coreml"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for recipe in options.recipe or ("int4", "int8"):
        export(options.work / recipe, recipe)
        answers = [answer(options.work / recipe / target, options.examples) for target in TARGETS]
        print_table(recipe, *answers)


def export(folder: Path, recipe: str) -> None:
    """Both bundles, unless they are there."""
    if folder.exists():
        return
    words = ["export", "tiny", "-o", str(folder), "--recipe", recipe, "--method", "rtn"]
    words += [word for target in TARGETS for word in ("--target", target)]
    pocketvl(*words, "--buckets", "256,576", "--max-context", "1024")


def answer(bundle: Path, examples: int) -> dict[str, dict[str, object]]:
    """Results by the question's id; what was answered before is not asked again."""
    results = bundle.with_name(f"{bundle.name}-{examples}-results")
    words = ["evaluate", str(bundle), "--data", f"generated:{examples}@{FIRST}", "-o", str(results)]
    pocketvl(*words, "--threads", "1", "--max-tokens", str(MOST_TOKENS))
    (file,) = results.glob("*.jsonl")
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {record["id"]: record for record in records if "id" in record}


def print_table(
    recipe: str, first: dict[str, dict[str, object]], second: dict[str, dict[str, object]]
) -> None:
    """Markdown, a row a task: mean scores of both, and the share of answers whose tokens are the same."""
    if first.keys() != second.keys():
        raise SystemExit(
            "The two bundles were not asked the same questions; remove the results and ask again."
        )
    tasks = dict.fromkeys(str(record["task"]) for record in first.values())
    print(f"| {recipe} | questions | ExecuTorch | Core ML | same answer |\n|---|---|---|---|---|")
    for task in (*tasks, None):
        ids = [key for key, record in first.items() if task in (None, record["task"])]
        scores = [sum(float(str(side[key]["score"])) for key in ids) / len(ids) for side in (first, second)]
        same = sum(first[key]["token_ids"] == second[key]["token_ids"] for key in ids)
        print(f"| {task or 'all'} | {len(ids)} | {scores[0]:.3f} | {scores[1]:.3f} | {same / len(ids):.1%} |")


def pocketvl(*words: str) -> None:
    program = "from pocketvl.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"pocketvl {' '.join(words)}\n{done.stderr}")


if __name__ == "__main__":
    main()
