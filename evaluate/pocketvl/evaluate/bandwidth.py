"""How fast this machine streams memory: the wall that decoding one token at a time runs into."""

import time

import torch


def read_bandwidth(threads: int, size: int = 1 << 30, repeats: int = 5) -> float:
    """Bytes a second of the best of `repeats` passes over `size` bytes, far more than any cache."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        block = torch.ones(size // 4, dtype=torch.float32)
        best = float("inf")
        for _ in range(repeats):
            began = time.perf_counter()
            block.sum()
            best = min(best, time.perf_counter() - began)
        return size / best
    finally:
        torch.set_num_threads(before)
