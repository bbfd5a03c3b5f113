"""Decoders of bundles and of onnxruntime-genai by turns, for a machine whose speed changes by the minute.

    python benchmarks/beside_genai.py BUNDLE [BUNDLE ..] --genai MODEL --python genai/bin/python

MODEL and its environment are made as genai_decoder.py says. Each round starts every decoder once, alone in
a process. The table has medians over rounds, and a bundle's rate over genai's of the same round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from pocketvl.evaluate.speed.stages import time_decoder
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.engines.open import open_engine

DECODE, REPEATS = 64, 2  # as genai_decoder.py takes
GENAI = "onnxruntime-genai"
Rates = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--genai", type=Path, help="folder that onnxruntime-genai's builder wrote")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="with onnxruntime-genai")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.genai is None:
        print(json.dumps(rates(options.bundle[0], options.threads)))
        return
    commands = {
        bundle.name: [sys.executable, __file__, str(bundle), "--threads", str(options.threads)]
        for bundle in options.bundle
    }
    script = str(Path(__file__).with_name("genai_decoder.py"))
    peer = [str(options.python), script, str(options.genai), "--threads", str(options.threads), "--json"]
    rounds = []
    for _ in range(options.rounds):
        rounds.append({name: run(command) for name, command in {**commands, GENAI: peer}.items()})
        print(json.dumps(rounds[-1]), file=sys.stderr)
    print(table(rounds))


def rates(bundle: Path, threads: int) -> Rates:
    """Tokens a second of one bundle's decoder and head, in this process."""
    opened = open_bundle(bundle)
    times = time_decoder(opened, open_engine(opened, threads), DECODE, REPEATS)
    return {"prefill": times.prefill_rate, "decode": times.decode_rate}


def run(command: list[str]) -> Rates:
    rates: Rates = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return rates


def table(rounds: list[dict[str, Rates]]) -> str:
    """Markdown, a row a decoder."""
    lines = ["| | prefill, tok/s | beside genai | decode, tok/s | beside genai |", "|---|---|---|---|---|"]
    for name in rounds[0]:
        cells = [name]
        for kind in ("prefill", "decode"):
            values = [one[name][kind] for one in rounds]
            shares = [one[name][kind] / one[GENAI][kind] for one in rounds]
            spread = f"{statistics.median(values):.1f} ({min(values):.1f} .. {max(values):.1f})"
            cells += [spread, f"{statistics.median(shares):.2f} ({min(shares):.2f} .. {max(shares):.2f})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
