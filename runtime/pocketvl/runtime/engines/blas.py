"""The threads of MKL, by which ExecuTorch's attention multiplies where torch was built with it."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """MKL multiplies with `count` threads, ExecuTorch's own number, when called from this thread; torch
    elsewhere goes on as before.

    It would start one a core whatever ExecuTorch's pool has, and they spin while they wait for each other: 18
    times the processor time of a prefill where another process wants a core (tiny model, 1 thread). Always
    one would cost a fifth of prefill where the pool has two (2B).
    """
    set_threads = _set_threads()
    if set_threads is None:
        yield
        return
    before = set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


@cache
def _set_threads() -> Callable[[int], int] | None:
    """Sets MKL's number for the calling thread and gives the one before; None without MKL."""
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found: Callable[[int], int] = ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return None
    return found
