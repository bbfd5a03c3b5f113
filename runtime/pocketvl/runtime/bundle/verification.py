"""Whether a bundle's files are the bytes that its manifest was written for."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Literal, get_args

from pocketvl.runtime.bundle.manifest import FileRecord
from pocketvl.runtime.bundle.stamps import Stamp, read_stamps, settled_stamp, stamp_of, write_stamps
from pocketvl.runtime.errors import BundleError, UsageError

Verify = Literal["stamp", "always", "never"]

_THREADS = (
    2  # hashlib works without the interpreter's lock; the largest file alone bounds what more would give
)
_CHUNK = 1 << 20  # bytes


def check_verify(verify: Verify) -> None:
    """Raises UsageError for what is none of the three."""
    if verify not in get_args(Verify):
        raise UsageError(f"verify is {verify!r}, but must be one of {', '.join(get_args(Verify))}.")


def verify_files(folder: Path, records: Sequence[FileRecord], verify: Verify) -> None:
    """Compare the sha256 of files that are known to be there with their records.

    "stamp": unless the file was found equal before and has not been touched since; "always": without a look
    at stamps; "never": not at all. Whatever is found equal is remembered (see stamps.py). Raises BundleError.
    """
    if verify == "never":
        return
    remembered = read_stamps(folder) if verify == "stamp" else {}
    unknown = [record for record in records if not _is_stamped(folder, record, remembered.get(record.path))]
    if not unknown:
        return
    found = _hash_all(folder, sorted(unknown, key=lambda record: -record.size))
    listed = {record.path for record in records}
    kept = {path: stamp for path, stamp in remembered.items() if path in listed - found.keys()}
    new = kept | {path: stamp for path, stamp in found.items() if stamp is not None}
    if new != remembered:
        write_stamps(folder, new)


def _is_stamped(folder: Path, record: FileRecord, stamp: Stamp | None) -> bool:
    if stamp is None:
        return False
    try:
        return stamp == stamp_of((folder / record.path).stat(), record.sha256)
    except OSError:
        return False  # hashing says what is wrong


def _hash_all(folder: Path, records: Sequence[FileRecord]) -> dict[str, Stamp | None]:
    """The stamps of all files, the largest begun first. Raises BundleError for one that differs."""
    stop = Event()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        futures = [pool.submit(_checked, folder, record, stop) for record in records]
        return {record.path: future.result() for record, future in zip(records, futures, strict=True)}
    finally:
        stop.set()  # after a difference or Ctrl-C the rest need not be read
        pool.shutdown(cancel_futures=True)


def _checked(folder: Path, record: FileRecord, stop: Event) -> Stamp | None:
    """The stamp to remember; None for a file that was written just now."""
    path = folder / record.path
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    try:
        with path.open("rb", buffering=0) as file:
            # Of before reading: a write meanwhile leaves a stamp that does not fit.
            stamp = settled_stamp(os.fstat(file.fileno()), record.sha256)
            while (size := file.readinto(buffer)) and not stop.is_set():
                digest.update(buffer[:size])
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); copy the bundle again.") from None
    if digest.hexdigest() != record.sha256:
        raise BundleError(
            f"{path} is damaged or from another bundle: it has the sha256 {digest.hexdigest()}, but the"
            f" manifest says {record.sha256}; copy the bundle again or export it again."
        )
    return stamp
