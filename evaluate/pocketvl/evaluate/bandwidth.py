"""How fast this machine streams memory: the wall that decoding one token at a time runs into."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def read_bandwidth(threads: int, size: int = 1 << 30, repeats: int = 5) -> float:
    """Bytes a second of the best of `repeats` passes over `size` bytes, far more than any cache."""
    # Joining bits costs less than waiting for them, and numpy lets go of its lock meanwhile.
    parts = np.array_split(np.ones(size // 8, np.uint64), threads)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            best = min(best, time.perf_counter() - began)
    return size / best
