"""Memory that native libraries have freed, filled with zeros before anyone needs it, or read once."""

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

# From linux/mman.h, since 5.4; Python's mmap lacks it.
_MADV_PAGEOUT = 21


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
        _advise(first, last, mmap.MADV_DONTNEED)


def return_file_pages(folder: Path) -> None:
    """Let the system take back the mapped pages of the files in `folder`, of mappings into which nothing was
    written. What is read again comes from the file again.

    Nothing happens where the system does not list a process's mappings, or does not know how (Linux before
    5.4). Pages that wait to be written to the
    disk stay, and so do those of files in memory (tmpfs), of another owner, or mapped elsewhere, too.
    """
    if sys.platform != "linux":
        return
    files = {(entry.stat().st_dev, entry.inode()) for entry in os.scandir(folder) if entry.is_file()}
    for first, last, file, own in _mappings():
        if file in files and own == 0:
            page_out(first, last)


def page_out(first: int, last: int) -> None:
    """Take the pages from address `first` up to `last` out of memory, and lose nothing.

    Other memory of this process may have come to where a mapping was when it was looked for, and
    MADV_DONTNEED would make that zeros.
    """
    _advise(first, last, _MADV_PAGEOUT)


def _mappings() -> Iterator[tuple[int, int, tuple[int, int], int]]:
    """(first address, end, (device, inode), bytes that are no file's) of each mapping of this process."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
    first = last = 0
    file = (0, 0)
    for line in lines:
        key, _, rest = line.partition(" ")
        if key == "Anonymous:":
            yield first, last, file, int(rest.split()[0]) * 1024
        elif not key.endswith(":"):
            first, last = (int(address, 16) for address in key.split("-"))
            device, inode = rest.split(maxsplit=4)[2:4]
            major, minor = (int(number, 16) for number in device.split(":"))
            file = os.makedev(major, minor), int(inode)


def _advise(first: int, last: int, advice: int) -> None:
    madvise = ctypes.CDLL(None).madvise
    madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), advice)
