"""Decoders by turns, for a machine whose speed changes by the minute: what the beside_*.py share.

python benchmarks/turns.py BUNDLE --threads 2    # one bundle's rates as JSON
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from pocketvl.evaluate.speed.stages import time_decoder
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engines.open import open_engine

DECODE, REPEATS = 64, 2  # as the other decoders' scripts take
Rates = dict[str, float]  # "prefill" and "decode" in tokens a second, "bytes_per_weight"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    print(json.dumps(rates(options.bundle, options.threads)))


def rates(folder: Path, threads: int) -> Rates:
    """Of one bundle's decoder and head, in this process."""
    bundle = open_bundle(folder)
    times = time_decoder(bundle, open_engine(bundle, threads), DECODE, REPEATS)
    return {
        "prefill": times.prefill_rate,
        "decode": times.decode_rate,
        "bytes_per_weight": bytes_per_weight(bundle),
    }


def bytes_per_weight(bundle: Bundle) -> float:
    """Of the decoder's matrices and the head, which are what decoding one token reads."""
    groups = [group for group in bundle.manifest.layers if group.component in ("text_decoder", "lm_head")]
    return sum(group.bytes for group in groups) / sum(group.parameters for group in groups)


def bundle_command(bundle: Path, threads: int) -> list[str]:
    """Prints the bundle's rates from a process of its own."""
    return [sys.executable, __file__, str(bundle), "--threads", str(threads)]


def take_turns(commands: dict[str, list[str]], rounds: int) -> list[dict[str, Rates]]:
    """Each round starts every command once, alone; what it found is on stderr at once."""
    found = []
    for _ in range(rounds):
        found.append({name: run(command) for name, command in commands.items()})
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def run(command: list[str]) -> Rates:
    """Whose last line is its rates as JSON. Raises CalledProcessError."""
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rates: Rates = json.loads(output.splitlines()[-1])
    return rates


def table(rounds: list[dict[str, Rates]], peer: str, label: str) -> str:
    """Markdown, a row a decoder: medians over rounds, and shares of the peer's rate in the same round."""
    heading = f"| | bytes per weight | prefill, tok/s | beside {label} | decode, tok/s | beside {label} |"
    lines = [heading, "|---|---|---|---|---|---|"]
    for name in rounds[0]:
        size = rounds[0][name].get("bytes_per_weight")
        cells = [name, "" if size is None else f"{size:.3f}"]
        for kind in ("prefill", "decode"):
            values = [one[name][kind] for one in rounds]
            shares = [one[name][kind] / one[peer][kind] for one in rounds]
            spread = f"{statistics.median(values):.1f} ({min(values):.1f} .. {max(values):.1f})"
            cells += [spread, f"{statistics.median(shares):.2f} ({min(shares):.2f} .. {max(shares):.2f})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
