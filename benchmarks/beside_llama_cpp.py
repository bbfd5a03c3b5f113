"""Decoders of bundles and of llama.cpp by turns, for a machine whose speed changes by the minute.

    python benchmarks/beside_llama_cpp.py BUNDLE [BUNDLE ..] --gguf Q4_0.gguf --python llama/bin/python

GGUF files and the environment are made as write_gguf.py says. Each round starts every decoder once, alone in
a process: 512 tokens of prefill, then 64 steps of one token behind them. The table has medians over rounds,
and each rate over that of the first GGUF in the same round.
"""

import argparse
import os
import sys
from pathlib import Path

from turns import bundle_command, table, take_turns


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--gguf", type=Path, action="append", required=True)
    parser.add_argument("--python", type=Path, required=True, help="with llama-cpp-python and gguf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    commands = {bundle.name: bundle_command(bundle, options.threads) for bundle in options.bundle}
    script = str(Path(__file__).with_name("llama_cpp_decoder.py"))
    for model in options.gguf:
        commands[model.name] = [str(options.python), script, str(model), "--threads", str(options.threads)]
    if len(commands) < len(options.bundle) + len(options.gguf):
        sys.exit("Two bundles or GGUF files have the same name; the table could not tell them apart.")
    print(table(take_turns(commands, options.rounds), options.gguf[0].name, options.gguf[0].name))


if __name__ == "__main__":
    main()
