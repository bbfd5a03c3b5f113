"""Memory that native libraries have freed."""

import ctypes
import sys


def return_memory() -> None:
    """Give freed memory back to the system; the C library would keep up to 0.7 GB of a released model."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)
