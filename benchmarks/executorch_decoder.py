"""What a decode step costs in ExecuTorch by the way it is run: a Module's method, or a Program's.

    python benchmarks/executorch_decoder.py BUNDLE [BUNDLE ...] [--rounds 120] [--threads 2]

Only a Program lets its buffers out, which saving a conversation needs, see
docs/decisions/0016-saved-caches.md. All ways are loaded in one process and take turns in blocks of a few
tokens, so that a machine whose speed changes from minute to minute changes it for all of them. With several
bundles, such as one whose file names its buffers and one whose file does not, each is run in both ways. Wants
an idle machine: waiting threads spin, and that counts.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engines.executorch import _import_runtime, _LoadedFile, _StatefulMethod
from pocketvl.runtime.engines.thread_pool import ThreadPool

Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
PROMPT, BLOCK = 64, 16  # tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    runtime = _import_runtime()
    pool = ThreadPool(runtime, options.threads)
    ways: dict[str, Callable[[Inputs], object]] = {}
    for folder in options.bundles:
        bundle = open_bundle(folder)
        path = bundle.path(names.TEXT_DECODER_PTE)
        module = _LoadedFile(runtime, pool, path)
        ways[f"{folder.name}, Module"] = lambda inputs, m=module: m.run(names.TEXT_DECODER, inputs)  # type: ignore[misc]
        ways[f"{folder.name}, Program"] = _StatefulMethod(runtime, pool, path, names.TEXT_DECODER).run
    for step in ways.values():
        step(inputs_of(bundle, PROMPT, 0))
    show(measured(ways, bundle, options.rounds))


def inputs_of(bundle: Bundle, tokens: int, position: int) -> Inputs:
    text = bundle.manifest.geometry.text
    embeddings = np.random.default_rng(position).standard_normal((1, tokens, text.hidden_size))
    cos, sin = np.ones((tokens, text.head_dim), np.float32), np.zeros((tokens, text.head_dim), np.float32)
    return embeddings.astype(np.float32), cos, sin, np.array([position], np.int64)


def measured(
    ways: dict[str, Callable[[Inputs], object]], bundle: Bundle, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """(clock, processor) milliseconds a token for each way and round."""
    steps = [inputs_of(bundle, 1, PROMPT + token) for token in range(BLOCK)]
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        order = list(ways)
        for way in order[number % len(order) :] + order[: number % len(order)]:
            clock, processor = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            for step in steps:
                ways[way](step)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - processor
            found[way].append((1e3 * (time.perf_counter() - clock) / BLOCK, 1e3 * used / BLOCK))
    return found


def show(found: dict[str, list[tuple[float, float]]]) -> None:
    first = next(iter(found))
    for way, times in found.items():
        clock = statistics.median(clock for clock, _ in times)
        processor = statistics.median(processor for _, processor in times)
        beside = statistics.median(
            own / other for (own, _), (other, _) in zip(times, found[first], strict=True)
        )
        print(
            f"{way:32} {clock:6.2f} ms a token on the clock, {processor:6.2f} ms of processor;"
            f" {beside:.3f} of the first, round by round"
        )


if __name__ == "__main__":
    main()
