"""Memory that native libraries have freed, or filled with zeros before anyone needs it."""

import ctypes
import mmap
import sys
from typing import Any

from numpy.typing import NDArray


def return_memory() -> None:
    """Give freed memory back to the system; the C library would keep up to 0.7 GB of a released model."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)


def return_zeros(array: NDArray[Any]) -> None:
    """Let the system take back the whole pages of an array of zeros on the heap. It still reads as zeros: a
    page comes back, as zeros, when it is next touched.

    Linux alone promises that of MADV_DONTNEED; elsewhere nothing happens. The array must be contiguous.
    """
    if sys.platform != "linux":
        return
    first = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last and not array.any():
        advise = ctypes.CDLL(None).madvise
        advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)
