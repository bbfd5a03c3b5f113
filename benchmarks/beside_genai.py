"""Decoders of bundles and of onnxruntime-genai by turns, for a machine whose speed changes by the minute.

    python benchmarks/beside_genai.py BUNDLE [BUNDLE ..] --genai MODEL --python genai/bin/python

MODEL and its environment are made as genai_decoder.py says. Each round starts every decoder once, alone in
a process. The table has medians over rounds, and a bundle's rate over genai's of the same round.
"""

import argparse
import os
from pathlib import Path

from turns import bundle_command, table, take_turns

GENAI = "onnxruntime-genai"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--genai", type=Path, required=True, help="folder that genai's builder wrote")
    parser.add_argument("--python", type=Path, required=True, help="with onnxruntime-genai")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    commands = {bundle.name: bundle_command(bundle, options.threads) for bundle in options.bundle}
    script = str(Path(__file__).with_name("genai_decoder.py"))
    commands[GENAI] = [str(options.python), script, str(options.genai)]
    commands[GENAI] += ["--threads", str(options.threads), "--json"]
    print(table(take_turns(commands, options.rounds), GENAI, "genai"))


if __name__ == "__main__":
    main()
